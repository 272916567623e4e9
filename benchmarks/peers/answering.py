"""What every peer does with its way to predict: warm up, say so, and then once for each line on stdin."""

import sys
from collections.abc import Callable
from time import perf_counter


def answer(predict: Callable[[], object]) -> None:
    """Serve until stdin ends."""
    for _ in range(3):
        predict()
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = perf_counter()
        predict()
        print(f"ms {1000 * (perf_counter() - begun)}", flush=True)
