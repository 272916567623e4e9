"""Runs a saved file in its deployment engine, and judges the answers. Knows not how files are made."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl_exporters.model import Floats, Pixels, Targets
from edgetl_runtime.engines import load_engine
from edgetl_runtime.manifest import EngineName, Execution
from edgetl_runtime.metrics import Figure, accuracy, balanced_accuracy, subset_accuracy
from edgetl_runtime.pictures import Task


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What an engine gave: logits (n, classes) float32, the median time of a batch, and where it ran."""

    logits: Floats
    p50_ms: float
    device: str


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Answers held against targets.

    logits: (n, classes) float32, with the temperature that makes them probable. decided: numbers of classes
    (n,), or bool (n, classes). correct: (n,) bool; a picture of several labels is correct in all of them.
    accuracy: with its 95 % interval. balanced_accuracy: 0–1, None for several labels. loss: cross entropy in
    nats, each class counting the same. targets: as they were given.
    """

    logits: Floats
    temperature: float
    decided: NDArray[np.generic]
    correct: NDArray[np.bool_]
    accuracy: Figure
    balanced_accuracy: float | None
    loss: float
    targets: Targets

    def confidence(self, temperature: float | None = None) -> NDArray[np.float64]:
        """Return the probability (n,) of the one label that was decided, at this or another temperature."""
        scaled = self.logits.astype(np.float64) / (temperature or self.temperature)
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        highest: NDArray[np.float64] = 1 / odds.sum(axis=1)
        return highest


def run_file(
    path: Path,
    engine: EngineName,
    pixels: Pixels,
    *,
    batch: int = 1,
    execution: Execution = "f32",
    device: str = "cpu",
    cache: Path | None = None,
) -> Measured:
    """Run pictures through a saved file; batch 1 is what devices do, and is timed.

    Args:
        cache: where the engine may keep what it compiled.

    Raises:
        EngineError: the device is not here, or does not compute in `execution`.
    """
    opened = load_engine(engine)(
        path, device=device, execution=execution, batch=batch, threads=None, cache=cache
    )
    parts, times = [], []
    for start in range(0, len(pixels), batch):
        chunk = pixels[start : start + batch]
        padded = np.concatenate([chunk, np.zeros((batch - len(chunk), *chunk.shape[1:]), np.uint8)])
        begun = time.perf_counter()
        logits, _ = opened.run(padded)
        times.append(time.perf_counter() - begun)
        parts.append(logits[: len(chunk)])
    return Measured(np.concatenate(parts), 1000 * float(np.median(times)), opened.executed_device)


def judge(task: Task, logits: Floats, targets: Targets, temperature: float) -> Judged:
    """Hold logits, (n, classes), against targets; the temperature matters for the loss alone."""
    losses = cross_entropy(task, logits / temperature, targets)
    if task == "multi_label":
        truth, decided = targets > 0.5, logits >= 0
        found = subset_accuracy(truth, decided)
        correct, loss = (truth == decided).all(axis=1), float(losses.mean())
        return Judged(logits, temperature, decided, correct, found, None, loss, targets)
    loss = float(np.mean([losses[targets == number].mean() for number in np.unique(targets)]))
    answers = logits.argmax(axis=1)
    balanced = balanced_accuracy(targets, answers, logits.shape[1]).value
    right, found = answers == targets, accuracy(targets, answers)
    return Judged(logits, temperature, answers, right, found, balanced, loss, targets)


def cross_entropy(task: Task, logits: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """Return the cross entropy (n,) in nats of logits (n, classes); of several labels, their mean."""
    scaled = logits.astype(np.float64)
    if task == "multi_label":
        losses: NDArray[np.float64] = (np.logaddexp(0, scaled) - (targets > 0.5) * scaled).mean(axis=1)
        return losses
    highest = scaled.max(axis=1, keepdims=True)
    sums = np.log(np.exp(scaled - highest).sum(axis=1)) + highest[:, 0]
    return np.asarray(sums - scaled[np.arange(len(targets)), targets])


def agreeing(one: Judged, other: Judged) -> NDArray[np.bool_]:
    """Tell for each picture, (n,), whether two models answer the same."""
    equal = np.equal(one.decided, other.decided).reshape(len(one.correct), -1)
    same: NDArray[np.bool_] = equal.all(axis=1)
    return same
