"""One method on one set with one seed: what it answered to the test pictures, and how long it took.

Cells are small JSON files in benchmarks/cells, part of the repository: a comparison that takes a day of this
machine is put together over several, and its tables can be made again without running anything.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.machine import facts

CELLS = Path(__file__).parent / "cells"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Cell:
    """A finished cell; pictures, targets, predicted and scores are in one order, that of the pictures' names.

    seconds: by the clock, from the start of the process or of the training in it. cpu_seconds: of all cores
    together. pictures: file names. targets, predicted: a digit for each picture, 0-9 and a-z. scores: of
    class 0, where there are two classes, else empty.
    """

    set: str
    seed: int
    method: str
    seconds: float
    cpu_seconds: float
    pictures: list[str]
    targets: str
    predicted: str
    scores: list[float]
    machine: dict[str, Any]

    def write(self) -> None:
        """Write the file of this cell."""
        path = cell_file(self.set, self.seed, self.method)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    def right(self) -> NDArray[np.bool_]:
        """Tell of each picture, (n,), whether it was answered rightly."""
        return digits(self.targets) == digits(self.predicted)

    def measure(self, metric: str, chosen: NDArray[np.int64] | None = None) -> float:
        """Return accuracy, balanced_accuracy or auc, of all pictures or of the chosen ones, in [0, 1]."""
        places = np.arange(len(self.pictures)) if chosen is None else chosen
        targets, predicted = digits(self.targets)[places], digits(self.predicted)[places]
        if metric == "auc":
            return _auc(targets == 0, np.array(self.scores)[places])
        if metric == "balanced_accuracy":
            return _balanced_accuracy(targets, predicted)
        return float((targets == predicted).mean())


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of the test pictures. probabilities: (n, classes)."""

    paths: Sequence[str]
    targets: Sequence[int]
    probabilities: NDArray[Any]

    def cell(self, name: str, seed: int, method: str, *, seconds: float, cpu_seconds: float) -> Cell:
        """Make the cell, its pictures in order."""
        order = sorted(range(len(self.paths)), key=lambda place: Path(self.paths[place]).name)
        shares = self.probabilities[order]
        return Cell(
            set=name,
            seed=seed,
            method=method,
            seconds=round(seconds, 3),
            cpu_seconds=round(cpu_seconds, 3),
            pictures=[Path(self.paths[place]).name for place in order],
            targets="".join(_DIGITS[self.targets[place]] for place in order),
            predicted="".join(_DIGITS[number] for number in shares.argmax(1)),
            scores=[round(float(one), 4) for one in shares[:, 0]] if shares.shape[1] == 2 else [],
            machine=facts(),
        )


@cache
def digits(text: str) -> NDArray[np.int64]:
    """Return the class numbers that a text of digits stands for."""
    return np.array([_DIGITS.index(one) for one in text], np.int64)


def _balanced_accuracy(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the mean recall of the classes that are there; 2,000 resamples would wait for scikit-learn's."""
    counts = np.bincount(targets)
    right = np.bincount(targets[targets == predicted], minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean())


def _auc(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve as the Mann-Whitney statistic of the ranks."""
    ones, ranks = int(positive.sum()), rankdata(scores)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(scores) - ones)))


def cell_file(name: str, seed: int, method: str) -> Path:
    """Return where a cell lies, or will."""
    return CELLS / f"{name}.{seed}.{method}.json"


def read_cell(name: str, seed: int, method: str) -> Cell | None:
    """Read a cell; None where it was not measured yet."""
    path = cell_file(name, seed, method)
    return Cell(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
