"""How much the expected calibration error rose, with an interval that does not take noise for an error.

The error adds up sizes of differences, bin by bin, and noise has a size as well: where a model is calibrated,
the error that is seen is all noise. A candidate that begins to err hides in it, so the interval leaves room.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.resampling import SEED, batches, difference, unseen_share
from edgetl_runtime.statistics import Interval
from edgetl_runtime.verdict import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.pairing import Pair

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

__all__ = ["calibration_drift"]

BINS = 15  # of confidence, as in `metrics.expected_calibration_error`


def calibration_drift(pair: Pair, confidence: float) -> Difference:
    """Return the rise of the expected calibration error, in `BINS` bins of equal width.

    Pictures whose two confidences fall into the same bins, equally right, are one cell with their mean
    confidences: what they differ by within a bin is small beside being right or wrong.
    """
    sides = [
        (pair.before_confidence.astype(float), pair.before_right),
        (pair.confidence.astype(float), pair.after_right),
    ]
    bins = [_bins(share) for share, _ in sides]
    keys = (bins[0] * BINS + bins[1]) * 4 + 2 * pair.before_right + pair.after_right
    _, first, place, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    excess = []  # by cell and bin, how much a picture is more often right than it claims
    for (share, right), of in zip(sides, bins, strict=True):
        mean = np.bincount(place, share) / count
        excess.append((right[first] - mean)[:, None] * (of[first][:, None] == np.arange(BINS)))

    def drift(drawn: Floats) -> Floats:
        errors = [np.abs(drawn @ some).sum(axis=1) for some in excess]
        rise: Floats = (errors[1] - errors[0]) / count.sum()
        return rise

    n, rng = len(keys), np.random.default_rng(SEED)
    drawn = [drift(rng.multinomial(n, count / n, size=many).astype(float)) for many in batches(len(count))]
    value = float(drift(count[None].astype(float))[0])
    found = difference(value, np.concatenate(drawn), confidence, float(unseen_share(n, confidence)))
    less, more = _hidden(*(_excess(share, right) for share, right in sides))
    return Difference(value, Interval(found.interval.low - less, found.interval.high + more))


def _bins(share: Floats) -> Array:
    places: Array = np.clip(np.ceil(share * BINS).astype(int) - 1, 0, BINS - 1)
    return places


def _excess(share: Floats, right: Array) -> tuple[Floats, Floats]:
    """Return by bin how much oftener pictures are right than they claim, and its standard deviation."""
    n, each, bins = len(share), right - share, _bins(share)
    mean = np.bincount(bins, each, BINS) / n
    square = np.bincount(bins, each * each, BINS) / n
    return mean, np.sqrt(np.maximum(0, square - mean * mean) / n)


def _hidden(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> tuple[float, float]:
    """Return by how much the rise may be smaller, and greater, than it looks, because noise has a size.

    Noise adds most to a bin without an error, and little to one with a clear error. What can hide is what it
    adds to a bin that had none beyond what it adds to that bin moved by what is seen to have moved: nothing
    where the two models answer alike.
    """
    moved = np.abs(after[0] - before[0]).tolist()
    deviations = list(zip(before[1].tolist(), after[1].tolist(), strict=True))
    less = sum(max(0.0, _added(0, b) - _added(d, a)) for d, (a, b) in zip(moved, deviations, strict=True))
    more = sum(max(0.0, _added(0, a) - _added(d, b)) for d, (a, b) in zip(moved, deviations, strict=True))
    return less, more


def _added(error: float, deviation: float) -> float:
    """Return by how much the mean size of an error with normal noise exceeds the error's own size."""
    if deviation == 0:
        return 0.0
    ratio = error / deviation
    bell = math.sqrt(2 / math.pi) * math.exp(-ratio * ratio / 2)
    return deviation * (bell - ratio * math.erfc(ratio / math.sqrt(2)))
