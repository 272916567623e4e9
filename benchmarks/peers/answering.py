"""What every peer does with its way to prepare and its way to predict: the steps that `peers` asks for."""

import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

Prepare = Callable[[Path, Path], None]
Load = Callable[[Path, Path], Callable[[], object]]


def main(prepare: Prepare, load: Load) -> None:
    """Do the step of the command line: STEP BUNDLE PICTURE FOLDER.

    Args:
        prepare: is given bundle and folder. load: is given folder and picture; returns what predicts once.
    """
    step, bundle, picture, folder = sys.argv[1], *map(Path, sys.argv[2:5])
    if step == "prepare":
        prepare(bundle, folder)
        return
    predict = load(folder, picture)
    if step == "once":
        predict()
        print("answered", flush=True)
        return
    for _ in range(3):
        predict()
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = perf_counter()
        predict()
        print(f"ms {1000 * (perf_counter() - begun)}", flush=True)
