"""`check` on two receipts of 100,000 pictures, in processes of its own: `python -m benchmarks.gate`.

Prints the seconds (wall and processor) and the peak memory of each, beside the targets, 2 s and 300 MB, and
writes the table of docs/gate.md.
"""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.targets import Row
from edgetl_runtime.environment import read_environment
from edgetl_runtime.metrics import Figure
from edgetl_runtime.predictions import MAX_PROBABILITY_CLASSES, Predictions
from edgetl_runtime.receipt import BundleId, DatasetId, Latency, Receipt

RUNS = 3
PAGE = Path(__file__).parents[1] / "docs" / "gate.md"
BEGIN, END = "<!-- times: begin -->\n", "<!-- times: end -->\n"
MOST_S, MOST_MB = 2, 300
_LIMITS = (
    "--per-class",
    "--max-negative-flips",
    "2%",
    "--max-calibration-drift",
    "2pp",
    "--max-size-ratio",
    "2",
)
_MACRO = ("--metric", "macro_f1")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of receipts, and what is asked of two of them: the flags by the name of the case."""

    name: str
    pictures: int
    classes: int
    several: bool
    cases: dict[str, tuple[str, ...]]


KINDS = (
    Kind(
        *("10 classes", 100_000, 10, False),
        {"accuracy alone": (), "every limit": _LIMITS, "macro F1 decides": (*_LIMITS, *_MACRO)},
    ),
    Kind("20 labels at once", 100_000, 20, True, {"accuracy alone": (), "macro F1 decides": _MACRO}),
    Kind("1,000 classes", 50_000, 1_000, False, {"accuracy alone": (), "macro F1 decides": _MACRO}),
)


def measure(kinds: tuple[Kind, ...] = KINDS, runs: int = RUNS) -> dict[str, Any]:
    """Return the best of some runs of each case."""
    found: dict[str, Any] = {}
    for kind in kinds:
        with TemporaryDirectory() as folder:
            paths = _write(Path(folder), kind)
            for case, flags in kind.cases.items():
                best = _best([_check(paths, flags) for _ in range(runs)])
                name = f"{kind.pictures:,} pictures, {kind.name}, {case}"
                found[name] = best | {"targets": [row.facts() for row in _rows(name, best)]}
    return found


def _rows(name: str, best: dict[str, float]) -> tuple[Row, ...]:
    return (
        Row(f"{name}: time", best["seconds"], MOST_S, "s"),
        Row(f"{name}: peak", best["peak_mb"], MOST_MB, "MB"),
    )


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        f"| ≤ {MOST_S} s, ≤ {MOST_MB} MB | seconds | of the processor | peak MB |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {row['seconds']:.2f} | {row['processor_s']:.2f} | {row['peak_mb']} |"
        for name, row in found.items()
    ]
    return "\n".join(lines) + "\n"


def _best(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(one[name] for one in found) for name in found[0]}


def _check(paths: list[str], limits: tuple[str, ...]) -> dict[str, float]:
    """Run the command as a child that prints last what it used: `ru_maxrss` would count its parent too."""
    code = (
        "import sys, time; from edgetl_runtime.cli import main; code = main(sys.argv[1:]);"
        "from edgetl_runtime.meters import peak_memory_bytes;"
        "print(code, time.process_time(), peak_memory_bytes() or 0)"
    )
    begun = perf_counter()
    command = [sys.executable, "-c", code, "check", *paths, "--margin", "5pp", *limits]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = perf_counter() - begun
    code_, processor, peak = done.stdout.splitlines()[-1].split()
    if code_ not in ("0", "1", "3"):
        raise RuntimeError(f"check exited with {code_}: {done.stdout[-500:]}")
    return {
        "seconds": round(seconds, 2),
        "processor_s": round(float(processor), 2),
        "peak_mb": round(int(peak) / 1e6),
    }


def _write(folder: Path, kind: Kind) -> list[str]:
    """Write two receipts whose answers differ on 2 % of the pictures, or labels."""
    rng = np.random.default_rng(0)
    target, *answers = _labels(rng, kind) if kind.several else _numbers(rng, kind)
    hashes = tuple(hashlib.sha256(str(k).encode()).hexdigest() for k in range(kind.pictures))
    paths = []
    for name, some in zip(("before", "after"), answers, strict=True):
        shares = rng.dirichlet(np.full(kind.classes, 0.3), kind.pictures)
        _receipt(hashes, target, some, shares).write(folder / f"{name}.json")
        paths.append(str(folder / f"{name}.json"))
    return paths


def _numbers(rng: np.random.Generator, kind: Kind) -> list[Any]:
    n, classes = kind.pictures, kind.classes
    target = rng.integers(0, classes, n)
    before = np.where(rng.random(n) < 0.93, target, rng.integers(0, classes, n))
    return [target, before, np.where(rng.random(n) < 0.98, before, rng.integers(0, classes, n))]


def _labels(rng: np.random.Generator, kind: Kind) -> list[Any]:
    size = (kind.pictures, kind.classes)
    target = rng.random(size) < 0.15
    before = target ^ (rng.random(size) < 0.05)
    return [target, before, before ^ (rng.random(size) < 0.02)]


def _receipt(hashes: tuple[str, ...], target: Any, answers: Any, shares: Any) -> Receipt:
    n, classes = shares.shape
    names = tuple(f"class {k}" for k in range(classes))
    task = "single_label" if target.ndim == 1 else "multi_label"
    if target.ndim == 1:  # the answer is the class of the greatest share
        rows, top = np.arange(n), shares.argmax(axis=1)
        shares[rows, top], shares[rows, answers] = shares[rows, answers], shares[rows, top]
    kept = shares if classes <= MAX_PROBABILITY_CLASSES else None
    return Receipt(
        created="2026-11-24T00:00:00+00:00",
        bundle=BundleId("0" * 64, "synthetic"),
        variant="onnx-int8",
        device="cpu",
        dataset=DatasetId("synthetic", "0" * 64, n, "test"),
        task=task,
        classes=names,
        figures={"accuracy": Figure("accuracy", 0.9, 0.0, 1.0, n)},
        per_class={},
        latency={stage: Latency(1.0, 1.0, 1.0, n) for stage in ("preprocess", "infer", "total")},
        size_bytes=1_000_000,
        environment=read_environment(),
        errors=(),
        predictions=Predictions(classes, hashes, target, answers, shares.max(axis=1), kept),
    )


def main() -> int:
    """Measure, print and write."""
    found = measure()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table(found)}{END}{after}", encoding="utf-8")
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
