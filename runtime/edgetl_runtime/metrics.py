"""Figures of merit of a classifier, each with its 95 % interval: numpy only, arrays in, figures out.

It knows nothing about receipts or engines. The workstation and the device print the same numbers because both
call `figures`. Predictions of a picture are

    single label   target, predicted: (n,) integers, the index of the class
    multi label    target, predicted: (n, classes) bool
    both           probabilities: (n, classes), or None where they were not kept

A class that the target never shows has no recall, no F1 and no AUC, and means over classes leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.errors import InputError
from edgetl_runtime.statistics import Interval, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.pictures import Task

    Floats = NDArray[np.float64]
    Array = NDArray[Any]  # predictions come in any integer, bool or float width

__all__ = [
    "Figure",
    "accuracy",
    "auc",
    "balanced_accuracy",
    "confusion_matrix",
    "expected_calibration_error",
    "f1_per_class",
    "figures",
    "macro_f1",
    "recall_per_class",
    "subset_accuracy",
]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number and what it is worth: the ends of its 95 % interval and the count `n` behind it."""

    name: str
    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.value <= self.high <= 1 and self.n >= 1):
            raise InputError(
                f"Figure {self.name!r} needs 0 <= low <= value <= high <= 1 and n >= 1, "
                f"got {self.low!r}, {self.value!r}, {self.high!r}, n={self.n!r}."
            )


def figures(
    task: Task,
    classes: Sequence[str],
    target: Array,
    predicted: Array,
    probabilities: Array | None,
    *,
    confidence: Array | None = None,
) -> dict[str, Figure]:
    """Return every figure that is defined for these predictions, by name, the headline first.

    Args:
        confidence: (n,) probability of the predicted class, where `probabilities` were not kept.
    """
    if task == "multi_label":
        found: list[Figure | None] = [subset_accuracy(target, predicted), macro_f1(target, predicted)]
    else:
        found = [accuracy(target, predicted), balanced_accuracy(target, predicted, len(classes))]
    if probabilities is not None:
        truth = target if task == "multi_label" else np.asarray(target)[:, None] == np.arange(len(classes))
        found.append(auc(truth, probabilities))
        if task == "single_label":
            confidence = np.take_along_axis(probabilities, np.asarray(predicted)[:, None], axis=1)[:, 0]
    if task == "single_label" and confidence is not None:
        found.append(expected_calibration_error(target == predicted, confidence))
    return {figure.name: figure for figure in found if figure is not None}


def accuracy(target: Array, predicted: Array) -> Figure:
    """Return the share of pictures whose class is right, with Wilson's interval."""
    return _proportion("accuracy", int(np.count_nonzero(target == predicted)), len(target))


def subset_accuracy(target: Array, predicted: Array) -> Figure:
    """Return the share of pictures whose labels are all right and complete, with Wilson's interval."""
    return _proportion("subset_accuracy", int(np.all(target == predicted, axis=1).sum()), len(target))


def confusion_matrix(target: Array, predicted: Array, classes: int) -> NDArray[np.int64]:
    """Return counts (classes, classes): the row is the target, the column what was predicted."""
    cells = np.asarray(target, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def recall_per_class(target: Array, predicted: Array, classes: int) -> list[Figure | None]:
    """Return the recall of each class with Wilson's interval; None for a class without pictures."""
    of_class = np.bincount(target, minlength=classes)
    right = np.bincount(np.asarray(target)[target == predicted], minlength=classes)
    counts = zip(right.tolist(), of_class.tolist(), strict=True)
    return [_proportion("recall", k, n) if n else None for k, n in counts]


def balanced_accuracy(target: Array, predicted: Array, classes: int) -> Figure:
    """Return the mean recall of the classes that the target shows.

    The recalls are independent, each with Wilson's interval; MOVER makes them the interval of their mean.
    """
    recalls = [figure for figure in recall_per_class(target, predicted, classes) if figure is not None]
    return _mean("balanced_accuracy", recalls, len(target))


def f1_per_class(target: Array, predicted: Array) -> list[Figure | None]:
    """Return the F1 of each class, target and predicted (n, classes) bool; None for a class without pictures.

    F1 = 2J / (1 + J) rises with the Jaccard index J, which is a share: the ends of J's Wilson interval become
    those of F1.
    """
    both, either = np.sum(target & predicted, axis=0), np.sum(target | predicted, axis=0)
    counts = zip(both.tolist(), either.tolist(), np.any(target, axis=0), strict=True)
    return [_f1(k, n) if shown else None for k, n, shown in counts]


def macro_f1(target: Array, predicted: Array) -> Figure | None:
    """Return the mean F1 of the classes that the target shows; None if it shows none.

    MOVER as in `balanced_accuracy`, widened by the design effect (Kish 1965): errors in several classes meet
    in one picture, so the variance of the mean can exceed that of independent classes.
    """
    per_class = f1_per_class(target, predicted)
    shown = [figure for figure in per_class if figure is not None]
    if not shown:
        return None
    columns = [k for k, figure in enumerate(per_class) if figure is not None]
    hits, sizes = 2.0 * (target & predicted)[:, columns], 1.0 * target[:, columns] + predicted[:, columns]
    influence = (hits - np.array([f.value for f in shown]) * sizes) / sizes.mean(axis=0)
    independent = float(influence.var(axis=0).sum())
    effect = float(influence.sum(axis=1).var()) / independent if independent > 0 else 1.0
    return _mean("macro_f1", shown, len(target), widen=max(1.0, effect) ** 0.5)


def auc(target: Array, probabilities: Array) -> Figure | None:
    """Return the mean one-against-rest area under the ROC curve, target (n, classes) bool; None if undefined.

    For two exclusive classes it is the AUC of the second. The standard error of the mean is DeLong's
    (Biometrics 44 (1988) 837-845) in the O(n log n) form of Sun and Xu (IEEE Signal Processing Letters 21
    (2014) 1389-1393). The interval is Wilson's with the sample size which that error implies: unlike the
    normal interval it stays in [0, 1], and it has a width where the classes are separated perfectly.
    """
    columns = [k for k in range(target.shape[1]) if 0 < np.count_nonzero(target[:, k]) < len(target)]
    if target.shape[1] == 2 and np.array_equal(target[:, 0], ~target[:, 1]):
        columns = columns[1:]
    if not columns:
        return None
    areas, fewest = [], []
    influence = np.zeros(len(target))
    for k in columns:
        area, of_picture = _delong(np.asarray(probabilities)[:, k], target[:, k])
        areas.append(area)
        positives = int(np.count_nonzero(target[:, k]))
        fewest.append(min(positives, len(target) - positives))
        influence += of_picture / len(columns)
    value = float(np.mean(areas))
    # Birnbaum and Klose (1957): the variance of an AUC is at most A(1 - A) / min(positives, negatives).
    effective = float(min(fewest))
    variance = float(np.mean(influence**2)) / len(target)
    if variance > 0:
        effective = max(effective, value * (1 - value) / variance)
    interval = wilson(min(value * effective, effective), effective)
    return _figure("auc", value, interval, len(target))


def expected_calibration_error(right: Array, confidence: Array, bins: int = 15) -> Figure:
    """Return the mean gap between confidence and accuracy, over equal bins of confidence.

    Args:
        right: (n,) bool, whether the predicted class is the target.
        confidence: (n,) probability of the predicted class.
        bins: Number of equal bins of (0, 1]; Guo et al., ICML 2017, use 15.

    Each bin's accuracy has Wilson's interval, hence its gap a lowest and a highest value. The upper end is
    MOVER's. Chance alone makes every gap positive, so the lower end is stricter: it adds up the lowest gaps,
    from intervals that hold for all bins at once (Bonferroni).
    """
    bin_of = np.clip(np.ceil(np.asarray(confidence, np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)
    n, k, total = (np.bincount(bin_of, weights, bins) for weights in (None, right, confidence))
    n, k, total = (counts[n > 0] for counts in (n, k, total))
    mean, weight = total / n, n / n.sum()
    gap = np.abs(k / n - mean)
    _, most = _gap_ends(k, n, mean, 0.95)
    least, _ = _gap_ends(k, n, mean, 1 - 0.05 / len(n))
    value = float(weight @ gap)
    high = value + float(np.linalg.norm(weight * (most - gap)))
    return _figure("expected_calibration_error", value, Interval(float(weight @ least), high), len(bin_of))


def _gap_ends(k: Array, n: Array, mean: Array, confidence: float) -> tuple[Floats, Floats]:
    """Return the lowest and highest distance between `mean` and the Wilson interval of `k / n`, per bin."""
    intervals = [wilson(*counts, confidence) for counts in zip(k.tolist(), n.tolist(), strict=True)]
    low, high = np.array([(interval.low, interval.high) for interval in intervals]).T
    return np.maximum(0.0, np.maximum(low - mean, mean - high)), np.maximum(mean - low, high - mean)


def _proportion(name: str, k: int, n: int) -> Figure:
    if n == 0:
        raise InputError(f"{name} needs at least one picture, got none.")
    return _figure(name, k / n, wilson(k, n), n)


def _f1(both: int, either: int) -> Figure:
    jaccard, interval = both / either, wilson(both, either)
    low, value, high = (2 * j / (1 + j) for j in (interval.low, jaccard, interval.high))
    return _figure("f1", value, Interval(low, high), either)


def _mean(name: str, parts: Sequence[Figure], n: int, widen: float = 1.0) -> Figure:
    """Return the mean of independent figures; `widen` multiplies both arms of the interval.

    MOVER, the method of variance estimates recovery: each arm is the root of the summed squares of the parts'
    arms. Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702; Newcombe's method 10 is its case of two.
    """
    values, lows, highs = (np.array([getattr(p, end) for p in parts]) for end in ("value", "low", "high"))
    down, up = (float(np.linalg.norm(arm)) * widen / len(parts) for arm in (values - lows, highs - values))
    mean = float(values.mean())
    return _figure(name, mean, Interval(mean - down, mean + up), n)


def _figure(name: str, value: float, interval: Interval, n: int) -> Figure:
    """Return a figure whose interval is cut to [0, 1] and not parted from its value by rounding."""
    value = min(1.0, max(0.0, value))
    return Figure(name, value, min(value, max(0.0, interval.low)), max(value, min(1.0, interval.high)), n)


def _delong(score: Array, positive: Array) -> tuple[float, Floats]:
    """Return the AUC and each picture's influence on it, (n,): mean square = n times DeLong's variance."""
    m, n = int(np.count_nonzero(positive)), int(np.count_nonzero(~positive))
    above, below = _midrank(score), np.empty(len(score))
    for group in (positive, ~positive):
        below[group] = _midrank(score[group])
    # A positive's placement: the share of negatives below it. A negative's: the share of positives above it.
    placement = np.where(positive, (above - below) / n, 1 - (above - below) / m)
    area = float(placement[positive].mean())
    # DeLong divides by the group size less one; a group of one has no spread to estimate and adds nothing.
    scale = np.where(positive, _unbiased(m, m + n), _unbiased(n, m + n))
    return area, (placement - area) * scale


def _unbiased(size: int, total: int) -> float:
    return total / float(np.sqrt(size * max(1, size - 1)))


def _midrank(score: Array) -> Floats:
    """Return ranks from 1, tied scores sharing the mean of theirs."""
    _, where, count = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - (count - 1) / 2)[where]
    return ranks
