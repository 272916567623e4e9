"""Which class is taken for which: a matrix while it can be read, else the most frequent confusions."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetl.report.facts import Facts, Missing
from edgetl.report.sources import Measured
from edgetl_runtime.metrics import confusion_matrix

MOST_CLASSES = 20
_NARROW = 4  # classes that a matrix beside another one has room for
_MOST_PAIRS = 10
_MOST_RECEIPTS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """How many pictures of a class were given an answer; share: of that class, heat: of its colour, 0–1."""

    count: int
    share: float
    right: bool
    heat: float


@dataclass(frozen=True, slots=True)
class Matrix:
    """The rows are the true classes, the columns the answers in the same order.

    wide: whether it needs all the width of the page.
    """

    name: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    wide: bool


@dataclass(frozen=True, slots=True)
class Pairs:
    """The most frequent confusions: true class, answer, pictures, and their share of the class, 0–1."""

    name: str
    rows: tuple[tuple[str, str, int, float], ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Matrices, or pairs where there are too many classes; `more` receipts are not shown.

    largest_miss: of all matrices, as a share of its class, 0–1; 0 where there is none.
    """

    matrices: tuple[Matrix, ...]
    largest_miss: float
    pairs: tuple[Pairs, ...]
    more: int


def context(facts: Facts) -> Context | Missing:
    """Count the answers by true class, for each receipt."""
    receipts = facts.sources.receipts
    if not receipts:
        return Missing("give receipts")
    single = [one for one in receipts if one.receipt.task == "single_label"]
    if not single:
        return Missing("pictures with several labels have no confusion matrix; see the figures of classes")
    shown = single[:_MOST_RECEIPTS]
    more = len(single) - len(shown)
    if any(len(one.receipt.classes) > MOST_CLASSES for one in shown):
        return Context((), 0.0, tuple(map(_pairs, shown)), more)
    counts = [_counts(one) for one in shown]
    largest = max(float((shares - np.diag(np.diag(shares))).max()) for shares in map(_shares, counts))
    matrices = [_matrix(one, table, largest) for one, table in zip(shown, counts, strict=True)]
    return Context(tuple(matrices), largest, (), more)


def _counts(measured: Measured) -> NDArray[np.int64]:
    predictions = measured.receipt.predictions
    return confusion_matrix(predictions.target, predictions.predicted, len(measured.receipt.classes))


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    return shares


def _matrix(measured: Measured, counts: NDArray[np.int64], largest: float) -> Matrix:
    classes, shares = measured.receipt.classes, _shares(counts)
    rows = [
        tuple(
            _cell(count, share, largest, right=place == number)
            for place, (count, share) in enumerate(zip(*row, strict=True))
        )
        for number, row in enumerate(zip(counts.tolist(), shares.tolist(), strict=True))
    ]
    return Matrix(measured.name, tuple(zip(classes, rows, strict=True)), len(classes) > _NARROW)


def _cell(count: int, share: float, largest: float, *, right: bool) -> Cell:
    """Colour misses by the root of their share of the largest, so that small ones are seen beside it."""
    return Cell(count, share, right, share if right else math.sqrt(share / largest) if count else 0.0)


def _pairs(measured: Measured) -> Pairs:
    """Count only the confusions that there are: a matrix of a hundred thousand classes does not fit."""
    predictions, classes = measured.receipt.predictions, measured.receipt.classes
    wrong = ~predictions.right
    cells = predictions.target[wrong].astype(np.int64) * len(classes) + predictions.predicted[wrong]
    found, counts = np.unique(cells, return_counts=True)
    size = np.bincount(predictions.target, minlength=len(classes))
    rows = []
    for place in np.argsort(-counts, kind="stable")[:_MOST_PAIRS]:
        target, answer = divmod(int(found[place]), len(classes))
        count = int(counts[place])
        rows.append((classes[target], classes[answer], count, count / int(size[target])))
    return Pairs(measured.name, tuple(rows))
