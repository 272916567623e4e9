"""Which class is taken for which: a matrix while it can be read, else the most frequent confusions."""

from dataclasses import dataclass

import numpy as np

from edgetl.report.facts import Facts, Missing
from edgetl.report.sources import Measured
from edgetl_runtime.metrics import confusion_matrix

MOST_CLASSES = 20
_MOST_PAIRS = 10
_MOST_RECEIPTS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """How many pictures of a class were given an answer; `share` of that class, 0–1."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """The rows are the true classes, the columns the answers."""

    name: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The most frequent confusions: true class, answer, pictures, and their share of the class, 0–1."""

    name: str
    rows: tuple[tuple[str, str, int, float], ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Matrices, or pairs where there are too many classes; `more` receipts are not shown."""

    classes: tuple[str, ...]
    matrices: tuple[Matrix, ...]
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
    shown, classes = single[:_MOST_RECEIPTS], single[0].receipt.classes
    few = all(len(one.receipt.classes) <= MOST_CLASSES for one in shown)
    return Context(
        classes=classes,
        matrices=tuple(map(_matrix, shown)) if few else (),
        pairs=() if few else tuple(map(_pairs, shown)),
        more=len(single) - len(shown),
    )


def _matrix(measured: Measured) -> Matrix:
    predictions, classes = measured.receipt.predictions, measured.receipt.classes
    counts = confusion_matrix(predictions.target, predictions.predicted, len(classes))
    rows = [
        tuple(Cell(k, k / max(1, sum(row)), place == number) for place, k in enumerate(row))
        for number, row in enumerate(counts.tolist())
    ]
    return Matrix(measured.name, tuple(zip(classes, rows, strict=True)))


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
