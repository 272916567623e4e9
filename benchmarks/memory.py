"""What a training holds in memory, from a thousand pictures to a million: peaks of processes of their own.

    python -m benchmarks.memory --work DIR [--parts train index head]

train: 1,000, 10,000 and 100,000 distinct files end to end, the head alone. index: a million distinct files
listed, hashed and checked. head: solved on a million generated features of 1,280 numbers and ten classes.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.many import write_files
from benchmarks.peaks import watch

SIZES = (1_000, 10_000, 100_000)
_MANY, _WIDTH, _CLASSES = 1_000_000, 1_280, 10
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
    found = watch(code, work / "cache")
    told = {
        "anonymous_mb": round(found.held_mb),
        "with_mapped_files_mb": round(found.with_mapped_files_mb),
        "seconds": round(found.seconds),
    }
    print(what, json.dumps(told), flush=True)


def _pictures(work: Path, count: int) -> Path:
    return write_files(work / f"pictures-{count}", count)


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
