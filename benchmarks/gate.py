"""`check` on two receipts of 100,000 pictures, in processes of its own: `python -m benchmarks.gate`.

Prints the seconds (wall and processor) and the peak memory of each, beside the targets: 2 s and 300 MB.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from edgetl_runtime.environment import read_environment
from edgetl_runtime.metrics import figures
from edgetl_runtime.predictions import Predictions
from edgetl_runtime.receipt import BundleId, DatasetId, Latency, Receipt

PICTURES, CLASSES, RUNS = 100_000, 10, 3
_LIMITS = (
    "--per-class",
    "--max-negative-flips",
    "2%",
    "--max-calibration-drift",
    "2pp",
    "--max-size-ratio",
    "2",
)
_CASES = {
    "accuracy alone": (),
    "every limit": _LIMITS,
    "macro F1 decides": (*_LIMITS, "--metric", "macro_f1"),
}


def measure(pictures: int = PICTURES, runs: int = RUNS) -> dict[str, Any]:
    """Return the best of some runs of each case."""
    with TemporaryDirectory() as folder:
        paths = _write(Path(folder), pictures)
        cases = {name: _best([_check(paths, limits) for _ in range(runs)]) for name, limits in _CASES.items()}
    return {"pictures": pictures, **cases, "target": "<= 2 s, <= 300 MB"}


def _best(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(one[name] for one in found) for name in found[0]}


def _check(paths: list[str], limits: tuple[str, ...]) -> dict[str, float]:
    """Run the command as a child, whose own resource usage is what it prints last."""
    code = (
        "import resource, sys; from edgetl_runtime.cli import main; code = main(sys.argv[1:]);"
        "used = resource.getrusage(resource.RUSAGE_SELF);"
        "print(code, used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    begun = perf_counter()
    command = [sys.executable, "-c", code, "check", *paths, "--margin", "5pp", *limits]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = perf_counter() - begun
    code_, processor, kib = done.stdout.splitlines()[-1].split()
    if code_ not in ("0", "3"):
        raise RuntimeError(f"check exited with {code_}: {done.stdout[-500:]}")
    megabytes = int(kib) * (1 if sys.platform == "darwin" else 1024) / 1e6
    return {
        "seconds": round(seconds, 2),
        "processor_s": round(float(processor), 2),
        "peak_mb": round(megabytes),
    }


def _write(folder: Path, pictures: int) -> list[str]:
    """Write two receipts whose answers differ on 2 % of the pictures."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, CLASSES, pictures)
    before = np.where(rng.random(pictures) < 0.93, target, rng.integers(0, CLASSES, pictures))
    after = np.where(rng.random(pictures) < 0.98, before, rng.integers(0, CLASSES, pictures))
    hashes = tuple(hashlib.sha256(str(k).encode()).hexdigest() for k in range(pictures))
    paths = []
    for name, answers in (("before", before), ("after", after)):
        shares = rng.dirichlet(np.full(CLASSES, 0.3), pictures)
        top = shares.argmax(axis=1)
        rows = np.arange(pictures)
        shares[rows, top], shares[rows, answers] = shares[rows, answers], shares[rows, top]
        _receipt(hashes, target, answers, shares).write(folder / f"{name}.json")
        paths.append(str(folder / f"{name}.json"))
    return paths


def _receipt(hashes: tuple[str, ...], target: Any, answers: Any, shares: Any) -> Receipt:
    names, n = tuple(f"class {k}" for k in range(CLASSES)), len(hashes)
    confidence = np.take_along_axis(shares, answers[:, None], axis=1)[:, 0]
    return Receipt(
        created="2026-11-24T00:00:00+00:00",
        bundle=BundleId("0" * 64, "synthetic"),
        variant="onnx-int8",
        device="cpu",
        dataset=DatasetId("synthetic", "0" * 64, n, "test"),
        task="single_label",
        classes=names,
        figures=figures("single_label", names, target, answers, shares),
        per_class={},
        latency={stage: Latency(1.0, 1.0, 1.0, n) for stage in ("preprocess", "infer", "total")},
        size_bytes=1_000_000,
        environment=read_environment(),
        errors=(),
        predictions=Predictions(CLASSES, hashes, target, answers, confidence, shares),
    )


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
