"""A short training that is measured: what an approach gives on a part of the pictures, under a cap on time.

It goes through `edgetl.training.train` like any training, in a folder that is thrown away, and is judged on
the verifying half of validation, which no training chooses by.
"""

import csv
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgetl.dataset import Dataset
from edgetl.recipe import Recipe
from edgetl.run import PREDICTIONS
from edgetl.training import train
from edgetl_runtime.pictures import Task

_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Probed:
    """What a short training gave.

    losses: cross entropy in nats of each verifying picture, by its SHA-256. accuracy: on these, 0–1.
    steps: the names of those that were kept.
    """

    losses: Mapping[str, float]
    accuracy: float
    seconds: float
    steps: tuple[str, ...]

    @property
    def loss(self) -> float:
        """Return the mean loss."""
        return float(np.mean(list(self.losses.values())))


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much one probe's loss is below another's, in nats, and the standard error over pictures."""

    value: float
    error: float

    @property
    def proven(self) -> bool:
        """Tell whether the one-sided 90 % bound is above zero."""
        return self.value - 1.2816 * self.error > 0


def probe(dataset: Dataset, recipe: Recipe, seconds: float) -> Probed:
    """Train by a recipe for at most about so many seconds, and judge.

    Ctrl-C is raised again: a training would keep its best and return, and whoever probes would go on.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgetl-probe-") as name:
        run = train(dataset, replace(recipe, time_budget_s=max(seconds, 1.0)), Path(name, "run"))
        if run.interrupted:
            raise KeyboardInterrupt
        losses, right = _judged(Path(name, "run", PREDICTIONS), run.task)
    kept = tuple(str(step["name"]) for step in run.steps if step["kept"])
    return Probed(losses, float(np.mean(right)), time.monotonic() - begun, kept)


def gain(candidate: Probed, over: Probed) -> Gain:
    """Compare two probes on the same pictures; a single one proves nothing."""
    differences = [over.losses[sha256] - loss for sha256, loss in candidate.losses.items()]
    n = len(differences)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return Gain(float(np.mean(differences)), error)


def _judged(predictions: Path, task: Task) -> tuple[dict[str, float], list[bool]]:
    """Read a run's answers: the loss of each picture and whether it was right."""
    losses, right = {}, []
    with predictions.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        classes = next(rows)[3:]
        for sha256, _, label, *texts in rows:
            truth = np.isin(classes, label.split("|") if label else [])
            chances = np.clip([float(text) for text in texts], _FLOOR, 1 - _FLOOR)
            if task == "single_label":
                losses[sha256] = -math.log(float(chances[truth][0]))
                right.append(bool(truth[chances.argmax()]))
            else:
                losses[sha256] = float(-np.log(np.where(truth, chances, 1 - chances)).mean())
                right.append(bool(((chances >= 0.5) == truth).all()))
    return losses, right
