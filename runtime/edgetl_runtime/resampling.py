"""Intervals of differences that have no formula: the paired bootstrap, by counts instead of by pictures.

Pictures that answer alike are one cell. Drawing n pictures with replacement is drawing the sizes of the
cells, one multinomial, so a hundred thousand pictures cost as little as their few hundred cells. The seed is
fixed: the same receipts give the same verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.statistics import Interval
from edgetl_runtime.verdict import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.pairing import Pair

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

__all__ = ["RESAMPLES", "balanced_drop", "calibration_drift", "macro_f1_drop"]

RESAMPLES = 2_000
FEWEST_RESAMPLES = 400  # where nearly every picture is a cell of its own: several labels, a thousand classes
BINS = 15  # of confidence, as in `metrics.expected_calibration_error`
_SEED = 20_261
_DRAWS = 20_000_000
_DRAWS_AT_ONCE = 2_000_000


def balanced_drop(pair: Pair, confidence: float) -> Difference:
    """Return the drop of balanced accuracy; pictures are drawn class by class, as the metric weighs them.

    A picture enters only as lost, gained or neither within its class: three counts for each class.
    """
    lost, gained, size = pair.flips_by_class()
    lost, gained, size = (column[size > 0] for column in (lost, gained, size))
    shares = np.stack([lost, gained, size - lost - gained], axis=1) / size[:, None]
    rng = np.random.default_rng(_SEED)
    drops = [
        np.mean((drawn[..., 0] - drawn[..., 1]) / size, axis=1)
        for drawn in (rng.multinomial(size, shares, size=(many, len(size))) for many in _batches(shares.size))
    ]
    return _difference(float(np.mean((lost - gained) / size)), np.concatenate(drops), confidence)


def macro_f1_drop(pair: Pair, confidence: float) -> Difference:
    """Return the drop of the mean F1 over the classes that the target shows."""
    columns = (pair.target, pair.before, pair.after)
    if pair.one_label:
        cells, count = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
        target, before, after = (np.eye(len(pair.classes), dtype=bool)[cells[:, k]] for k in range(3))
    else:
        rows = np.packbits(np.concatenate(columns, axis=1), axis=1)
        _, first, count = np.unique(rows, axis=0, return_index=True, return_counts=True)
        target, before, after = (column[first] for column in columns)
    size, hits = target.astype(float), [target & some for some in (before, after)]
    given = [(some.astype(float), hit.astype(float)) for some, hit in zip((before, after), hits, strict=True)]

    def drop(drawn: Floats) -> Floats:
        shown = drawn @ size
        f1 = [_f1(drawn @ hit, shown, drawn @ some) for some, hit in given]
        return _mean_where(f1[0] - f1[1], shown > 0)

    return _bootstrap(count, drop, confidence)


def calibration_drift(pair: Pair, confidence: float) -> Difference:
    """Return the rise of the expected calibration error, in `BINS` bins of equal width.

    Pictures whose two confidences fall into the same bins, equally right, are one cell with their mean
    confidences: what they differ by within a bin is small beside being right or wrong.
    """
    before, after = pair.before_confidence.astype(float), pair.confidence.astype(float)
    bins = [np.clip(np.ceil(some * BINS).astype(int) - 1, 0, BINS - 1) for some in (before, after)]
    keys = (bins[0] * BINS + bins[1]) * 4 + 2 * pair.before_right + pair.after_right
    cells, place, count = np.unique(keys, return_inverse=True, return_counts=True)
    right = [(cells >> 1) & 1, cells & 1]
    where = [cells // (4 * BINS), cells // 4 % BINS]
    excess = []  # by cell and bin, how much a picture is more often right than it claims
    for some, hit, of in zip((before, after), right, where, strict=True):
        mean = np.bincount(place, some) / count
        excess.append((hit - mean)[:, None] * (of[:, None] == np.arange(BINS)))

    def drift(drawn: Floats) -> Floats:
        errors = [np.abs(drawn @ some).sum(axis=1) for some in excess]
        rise: Floats = (errors[1] - errors[0]) / count.sum()
        return rise

    return _bootstrap(count, drift, confidence)


def _bootstrap(count: Array, statistic: Callable[[Floats], Floats], confidence: float) -> Difference:
    """Return a statistic of the sizes of the cells, (resamples, cells) to (resamples,), with its interval."""
    n, rng = int(count.sum()), np.random.default_rng(_SEED)
    drawn = [
        statistic(rng.multinomial(n, count / n, size=many).astype(float)) for many in _batches(len(count))
    ]
    return _difference(float(statistic(count[None].astype(float))[0]), np.concatenate(drawn), confidence)


def _batches(cells: int) -> Iterator[int]:
    """Yield how many resamples to draw at once, so that neither memory nor time grows with the pictures."""
    left = int(np.clip(_DRAWS // cells, FEWEST_RESAMPLES, RESAMPLES))
    at_once = max(1, _DRAWS_AT_ONCE // cells)
    while left > 0:
        yield min(left, at_once)
        left -= at_once


def _difference(value: float, drawn: Floats, confidence: float) -> Difference:
    """Return the bias-corrected and accelerated interval: Efron, JASA 82 (1987) 171-185.

    Percentiles alone pass too often: where few pictures happen to be lost, their spread looks small too. The
    acceleration is a sixth of the skewness of the resamples, for a mean just what its jackknife gives.
    """
    spread = float(drawn.std())
    if spread == 0:
        return Difference(value, Interval(value, value))
    normal, edge = NormalDist(), 0.5 / len(drawn)
    below = float(np.mean(drawn < value) + np.mean(drawn == value) / 2)
    bias = normal.inv_cdf(min(1 - edge, max(edge, below)))
    acceleration = float(np.mean((drawn - drawn.mean()) ** 3)) / spread**3 / 6
    shares = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = bias + normal.inv_cdf(tail)
        shares.append(normal.cdf(bias + shifted / max(0.1, 1 - acceleration * shifted)))
    low, high = np.quantile(drawn, shares)
    return Difference(value, Interval(min(value, float(low)), max(value, float(high))))


def _f1(hits: Floats, shown: Floats, given: Floats) -> Floats:
    f1: Floats = 2 * hits / np.maximum(1, shown + given)
    return f1


def _mean_where(values: Floats, counted: Array) -> Floats:
    mean: Floats = np.sum(values * counted, axis=1) / np.maximum(1, counted.sum(axis=1))
    return mean
