"""Runs a saved file in its deployment engine, and judges the answers. Knows not how files are made."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl_exporters.model import Floats, Pixels, Targets
from edgetl_runtime.engines import load_engine
from edgetl_runtime.manifest import EngineName
from edgetl_runtime.metrics import Figure, accuracy, balanced_accuracy, subset_accuracy
from edgetl_runtime.pictures import Task


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What an engine gave: logits (n, classes) float32, and the median time of a batch."""

    logits: Floats
    p50_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Answers held against targets.

    decided: numbers of classes (n,), or bool (n, classes). correct: (n,) bool; a picture of several labels is
    correct in all of them. accuracy: with its 95 % interval. balanced_accuracy: 0–1, None for several labels.
    loss: cross entropy in nats, each class counting the same. targets: as they were given.
    """

    decided: NDArray[np.generic]
    correct: NDArray[np.bool_]
    accuracy: Figure
    balanced_accuracy: float | None
    loss: float
    targets: Targets


def run_file(path: Path, engine: EngineName, pixels: Pixels, *, batch: int = 1) -> Measured:
    """Run pictures through a saved file, on the CPU in f32; batch 1 is what devices do, and is timed."""
    opened = load_engine(engine)(path, device="cpu", execution="f32", batch=batch, threads=None)
    parts, times = [], []
    for start in range(0, len(pixels), batch):
        chunk = pixels[start : start + batch]
        padded = np.concatenate([chunk, np.zeros((batch - len(chunk), *chunk.shape[1:]), np.uint8)])
        begun = time.perf_counter()
        logits, _ = opened.run(padded)
        times.append(time.perf_counter() - begun)
        parts.append(logits[: len(chunk)])
    return Measured(np.concatenate(parts), 1000 * float(np.median(times)))


def judge(task: Task, logits: Floats, targets: Targets, temperature: float) -> Judged:
    """Hold logits, (n, classes), against targets; the temperature matters for the loss alone."""
    scaled = logits.astype(np.float64) / temperature
    if task == "multi_label":
        truth, decided = targets > 0.5, logits >= 0
        losses = (np.logaddexp(0, scaled) - truth * scaled).mean(axis=1)
        found = subset_accuracy(truth, decided)
        return Judged(decided, (truth == decided).all(axis=1), found, None, float(losses.mean()), targets)
    highest = scaled.max(axis=1, keepdims=True)
    sums = np.log(np.exp(scaled - highest).sum(axis=1)) + highest[:, 0]
    losses = sums - scaled[np.arange(len(targets)), targets]
    loss = float(np.mean([losses[targets == number].mean() for number in np.unique(targets)]))
    answers = logits.argmax(axis=1)
    balanced = balanced_accuracy(targets, answers, logits.shape[1]).value
    return Judged(answers, answers == targets, accuracy(targets, answers), balanced, loss, targets)


def agreeing(one: Judged, other: Judged) -> NDArray[np.bool_]:
    """Tell for each picture, (n,), whether two models answer the same."""
    equal = np.equal(one.decided, other.decided).reshape(len(one.correct), -1)
    same: NDArray[np.bool_] = equal.all(axis=1)
    return same
