"""What a training holds in memory, from a thousand pictures to a million: peaks of processes of their own.

    python -m benchmarks.memory --work DIR [--parts train index head]

train: 1,000, 10,000 and 100,000 distinct files end to end, the head alone. index: a million distinct files
listed, hashed and checked. head: solved on a million generated features of 1,280 numbers and ten classes.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

SIZES = (1_000, 10_000, 100_000)
_MANY, _WIDTH, _CLASSES, _SIDE = 1_000_000, 1_280, 10, 32
_A_FOLDER = 10_000
# Anonymous memory is what the process holds; pages of mapped files can be dropped and read again.
_PEAK = """
import threading, time
held = [0]
def watch():
    while True:
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon:"):
                held[0] = max(held[0], int(line.split()[1]))
        time.sleep(0.1)
threading.Thread(target=watch, daemon=True).start()
"""
_REPORT = """
import json
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps({"anonymous_mb": round(held[0] / 1000), "with_mapped_files_mb": round(peak / 1000)}))
"""
_TRAIN = """
from edgetl.cli import main
assert main(["train", {pictures!r}, "--out", {out!r}, "--unfreeze", "0", "--size", "32"]) == 0
"""
_INDEX = """
from edgetl_runtime.pictures import index
assert len(index({pictures!r}).pictures) == {count}
"""
_HEAD = """
import numpy as np
from edgetl.cache import Rows
from edgetl.head import Labelled
from edgetl.large_head import solve_rows
features = np.load({features!r}, mmap_mode="r")
targets = np.load({targets!r})
choose = Labelled(np.array(features[-2_000:]), targets[-2_000:])
train = len(targets) - 2_000
head = solve_rows([Rows(features, np.arange(train))], targets[:train], choose, task="single_label",
                  weights=np.ones({classes}, np.float32))
print("right:", float((head(choose.features).argmax(1) == choose.targets).mean()))
"""


def main() -> int:
    """Run the parts that are asked for and print what they held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder with 10 GB of room")
    parser.add_argument("--parts", nargs="+", default=tuple(_PARTS), choices=tuple(_PARTS))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for part in given.parts:
        _PARTS[part](given.work)
    return 0


def _train(work: Path) -> None:
    for count in SIZES:
        out = work / f"run-{count}"
        code = _TRAIN.format(pictures=str(_pictures(work, count)), out=str(out))
        _print(f"train on {count:,} pictures", code, work)


def _index(work: Path) -> None:
    code = _INDEX.format(pictures=_pictures(work, _MANY), count=_MANY)
    _print(f"index {_MANY:,} pictures", code, work)


def _head(work: Path) -> None:
    features, targets = _features(work)
    code = _HEAD.format(features=str(features), targets=str(targets), classes=_CLASSES)
    _print(f"head of {_MANY:,} rows", code, work)


_PARTS: dict[str, Callable[[Path], None]] = {"train": _train, "index": _index, "head": _head}


def _print(what: str, code: str, work: Path) -> None:
    begun = perf_counter()
    environment = os.environ | {"EDGETL_CACHE": str(work / "cache")}
    command = [sys.executable, "-c", _PEAK + code + _REPORT]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout.splitlines()[-1]) | {"seconds": round(perf_counter() - begun)}
    print(what, json.dumps(told), flush=True)


def _pictures(work: Path, count: int) -> Path:
    """Write so many different small pictures of two classes, once; a class is a brightness and much noise."""
    folder = work / f"pictures-{count}"
    if (folder / "done").exists():
        return folder / "data"
    generator = np.random.default_rng(0)
    for number in range(count):
        label = number % 2
        place = folder / "data" / f"class-{label}" / f"{number // _A_FOLDER:03}"
        if number % _A_FOLDER < 2:
            place.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(40 * label, 200 + 40 * label, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.NEAREST).save(
            place / f"{number:07}.bmp"
        )
    (folder / "done").touch()
    return folder / "data"


def _features(work: Path) -> tuple[Path, Path]:
    """Write features around a centre for each class, in float16 as the cache keeps them."""
    features, targets = work / "features.npy", work / "targets.npy"
    if not targets.exists():
        generator = np.random.default_rng(0)
        centres = generator.normal(0, 0.1, (_CLASSES, _WIDTH))
        labels = generator.integers(0, _CLASSES, _MANY)
        rows = np.lib.format.open_memmap(features, "w+", np.float16, (_MANY, _WIDTH))
        for start in range(0, _MANY, 10_000):
            part = slice(start, start + 10_000)
            noise = generator.standard_normal((10_000, _WIDTH), np.float32)
            rows[part] = noise + centres[labels[part]]
        rows.flush()
        np.save(targets, labels)
    return features, targets


if __name__ == "__main__":
    sys.exit(main())
