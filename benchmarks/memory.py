"""What a training holds in memory, from a thousand pictures to a million: peaks of processes of their own.

    python -m benchmarks.memory --work DIR [--parts train index head]

train: 1,000, 10,000 and 100,000 distinct files end to end, the head alone. index: a million distinct files
listed, hashed and checked. head: solved on a million generated features of 1,280 numbers and ten classes.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import measured, page
from benchmarks.many import write_files
from benchmarks.peaks import watch

_NAME, _COMMAND = "memory", "python -m benchmarks.memory --work DIR"
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
    """Run the parts that are asked for, keep what they held, and write docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder with 10 GB of room")
    parser.add_argument("--parts", nargs="+", default=tuple(_PARTS), choices=tuple(_PARTS))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    found = dict(kept.figures) if (kept := measured.read().get(_NAME)) else {}
    for part in given.parts:
        for what, code in _PARTS[part](given.work):
            found[what] = _watched(code, given.work)
            print(what, json.dumps(found[what]), flush=True)
            measured.write(_NAME, "What a training holds in memory", _COMMAND, found)
    return page.main()


def _train(work: Path) -> Iterator[tuple[str, str]]:
    for count in SIZES:
        out = work / f"run-{count}"
        shutil.rmtree(out, ignore_errors=True)
        code = _TRAIN.format(pictures=str(_pictures(work, count)), out=str(out))
        yield f"train on {count:,} pictures", code


def _index(work: Path) -> Iterator[tuple[str, str]]:
    yield f"index {_MANY:,} pictures", _INDEX.format(pictures=str(_pictures(work, _MANY)), count=_MANY)


def _head(work: Path) -> Iterator[tuple[str, str]]:
    features, targets = _features(work)
    code = _HEAD.format(features=str(features), targets=str(targets), classes=_CLASSES)
    yield f"head of {_MANY:,} rows", code


# Each yields what is done and the code that does it.
_PARTS: dict[str, Callable[[Path], Iterator[tuple[str, str]]]] = {
    "train": _train,
    "index": _index,
    "head": _head,
}


def _watched(code: str, work: Path) -> dict[str, int]:
    """Run the code with an empty cache and return what it took."""
    cache = work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    found = watch(code, cache)
    return {
        "anonymous_mb": round(found.held_mb),
        "with_mapped_files_mb": round(found.with_mapped_files_mb),
        "seconds": round(found.seconds),
    }


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
