"""Intervals of differences that have no formula: the paired bootstrap, by counts instead of by pictures.

Pictures that answer alike are drawn as one multinomial, or groups of pictures are drawn, so that a hundred
thousand pictures cost as little as a few hundred. The seed is fixed: the same receipts give the same verdict.
"""

from __future__ import annotations

import math
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
    Singles = NDArray[np.float32]

__all__ = ["RESAMPLES", "SEED", "balanced_drop", "batches", "difference", "macro_f1_drop", "unseen_share"]

RESAMPLES = 2_000
_GROUPS = 2_048
_FEWEST = 400  # resamples, and groups, where classes are many thousands
_PRODUCTS = 10**10  # of groups, resamples and classes: about a second
_CLASSES_AT_ONCE = 128
SEED = 20_261
_DRAWS_AT_ONCE = 1_000_000


def balanced_drop(pair: Pair, confidence: float) -> Difference:
    """Return the drop of balanced accuracy; pictures are drawn class by class, as the metric weighs them.

    A picture enters only as lost, gained or neither within its class: three counts for each class.
    """
    lost, gained, size = pair.flips_by_class()
    lost, gained, size = (column[size > 0] for column in (lost, gained, size))
    shares = np.stack([lost, gained, size - lost - gained], axis=1) / size[:, None]
    rng = np.random.default_rng(SEED)
    drops = [
        np.mean((drawn[..., 0] - drawn[..., 1]) / size, axis=1)
        for drawn in (rng.multinomial(size, shares, size=(many, len(size))) for many in batches(shares.size))
    ]
    unseen = float(unseen_share(size.min(), confidence)) / len(size)
    return difference(float(np.mean((lost - gained) / size)), np.concatenate(drops), confidence, unseen)


def macro_f1_drop(pair: Pair, confidence: float) -> Difference:
    """Return the drop of the mean F1 over the classes that the target shows.

    Drawn are groups of pictures, of one picture each where they are few. A pair is in the order of its
    hashes, so neighbours are a random group, and 2,000 of them tell the spread of the pictures to 2 %.
    """
    n, classes = len(pair.target), len(pair.classes)
    groups, resamples = _affordable(n, classes)
    group, drawn = np.arange(n) * groups // n, _drawn_groups(groups, resamples)
    total, shown = np.zeros((2, 1 + resamples))
    unseen = np.zeros(2)
    for first in range(0, classes, _CLASSES_AT_ONCE):
        part = slice(first, min(classes, first + _CLASSES_AT_ONCE))
        size, *sides = (drawn @ some for some in _sums(pair, group, part))
        before, after = _f1(size, *sides[:2]), _f1(size, *sides[2:])
        total += np.sum((before - after) * (size > 0), axis=1)
        shown += np.sum(size > 0, axis=1)
        unseen = np.maximum(unseen, _unseen_f1(n, [some[0] for some in (size, *sides)], confidence))
    drops = total / np.maximum(1, shown)
    # Of one label, what is missed in one class is found in another.
    most = float(unseen.sum() if pair.one_label else unseen.max()) / max(1.0, float(shown[0]))
    return difference(float(drops[0]), drops[1:], confidence, most)


def batches(cells: int) -> list[int]:
    """Return how many resamples to draw at once, so that memory does not grow with the pictures."""
    at_once = max(1, _DRAWS_AT_ONCE // cells)
    return [min(at_once, RESAMPLES - begun) for begun in range(0, RESAMPLES, at_once)]


def _affordable(n: int, classes: int) -> tuple[int, int]:
    """Return how many groups, and how often they are drawn: fewer of both where classes are very many."""
    groups = min(n, _GROUPS)
    scale = min(1.0, math.sqrt(_PRODUCTS / (groups * RESAMPLES * classes * 5)))
    return min(groups, max(_FEWEST, int(groups * scale))), max(_FEWEST, int(RESAMPLES * scale))


def _drawn_groups(groups: int, resamples: int) -> Singles:
    """Return how often each group counts, (1 + resamples, groups): first all once, as they are."""
    rng = np.random.default_rng(SEED)
    counts = np.ones((1 + resamples, groups), np.float32)
    for row in counts[1:]:
        row[:] = np.bincount(rng.integers(0, groups, groups), minlength=groups)
    return counts


def _sums(pair: Pair, group: Array, part: slice) -> list[Singles]:
    """Return what F1 is made of, each (groups, classes of the part).

    How often a class is shown; then for the baseline, and for the candidate, how often it is found and how
    often that is right.
    """
    target, before, after = pair.target, pair.before, pair.after
    if pair.one_label:
        right = [np.where(some == target, target, -1) for some in (before, after)]
        columns = [target, before, right[0], after, right[1]]
        return [_tally(group, column, part) for column in columns]
    starts = np.searchsorted(group, np.arange(group[-1] + 1))
    tables = [some[:, part] for some in (target, before, after)]
    hits = [tables[0] & some for some in tables[1:]]
    columns = [tables[0], tables[1], hits[0], tables[2], hits[1]]
    return [np.add.reduceat(column, starts, axis=0, dtype=np.float32) for column in columns]


def _tally(group: Array, column: Array, part: slice) -> Singles:
    """Count the class numbers of a column that fall into the part, group by group."""
    width = part.stop - part.start
    inside = (column >= part.start) & (column < part.stop)
    places = group[inside] * width + column[inside] - part.start
    counts = np.bincount(places, minlength=(group[-1] + 1) * width)
    return counts.reshape(-1, width).astype(np.float32)


def _f1(size: Singles, found: Singles, hits: Singles) -> Floats:
    f1: Floats = 2 * hits.astype(float) / np.maximum(1, size + found)
    return f1


def unseen_share(n: Array | int, confidence: float) -> Array:
    """Return the share that none of `n` leaves open: a bootstrap cannot draw what it has not seen."""
    share: Array = -np.expm1(math.log((1 - confidence) / 2) / np.maximum(n, 1e-9))
    return share


def _unseen_f1(n: int, sums: list[Array], confidence: float) -> Array:
    """Return the most that any class may lose unseen: by hits that become misses, and by false finds."""
    size, *sides = (some.astype(float) for some in sums)
    more = n * unseen_share(n, confidence)
    found = np.zeros((2, 2, len(size)))
    for side, (given, hits) in enumerate((sides[:2], sides[2:])):
        total = np.maximum(1, size + given)
        lost = hits * unseen_share(hits, confidence)
        now = 2 * hits / total
        found[side] = now - 2 * (hits - lost) / np.maximum(1, total - lost), now - 2 * hits / (total + more)
    most: Array = np.max(found * (size > 0), axis=(0, 2), initial=0)
    return most


def difference(value: float, drawn: Floats, confidence: float, unseen: float) -> Difference:
    """Return the bias-corrected and accelerated interval, widened by what may not have been seen.

    Percentiles alone pass too often: where few pictures happen to be lost, their spread looks small too. The
    acceleration is a sixth of the skewness of the resamples, for a mean just what its jackknife gives. Efron,
    JASA 82 (1987) 171-185. Both parts vary independently, so their squares add up.
    """
    low, high = _accelerated(value, drawn, confidence)
    return Difference(
        value, Interval(value - math.hypot(value - low, unseen), value + math.hypot(high - value, unseen))
    )


def _accelerated(value: float, drawn: Floats, confidence: float) -> tuple[float, float]:
    spread = float(drawn.std())
    if spread == 0:
        return value, value
    normal, edge = NormalDist(), 0.5 / len(drawn)
    below = float(np.mean(drawn < value) + np.mean(drawn == value) / 2)
    bias = normal.inv_cdf(min(1 - edge, max(edge, below)))
    acceleration = float(np.mean((drawn - drawn.mean()) ** 3)) / spread**3 / 6
    shares = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = bias + normal.inv_cdf(tail)
        shares.append(normal.cdf(bias + shifted / max(0.1, 1 - acceleration * shifted)))
    low, high = np.quantile(drawn, shares)
    return min(value, float(low)), max(value, float(high))
