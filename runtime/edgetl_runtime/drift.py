"""Whether counts could come from the source of a baseline's: the population stability index and its alarm.

Standard library and numpy; it knows nothing about pictures: counts by bin in, numbers out.

The population stability index of shares p (baseline, of M observations) and q (now, of N) over B bins is
Σ (q − p) ln(q / p). Where both come from one source it is distributed as (1/N + 1/M) χ² with B − 1 degrees of
freedom, over baselines and windows: Yurdakul, "Statistical properties of population stability index",
dissertation, Western Michigan University (2018). So its alarm depends on N, M and B. The fixed 0.1 and 0.25
of many handbooks do not, and are wrong by large factors for small windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import InputError

__all__ = ["Bins", "alarm_threshold", "chi_square_quantile", "confidence_edges", "pool", "stability_index"]

# With fewer expected counts in a bin, or less added to each, the index of unchanged data has a heavier tail
# than chi-square: tests/runtime/test_drift.py counts the false alarms.
MIN_EXPECTED = 5
_ADDED = 1.0


@dataclass(frozen=True, slots=True)
class Bins:
    """Baseline counts by bin, and the bin of every category. place: (categories,) of indices into counts."""

    counts: tuple[int, ...]
    place: tuple[int, ...]


def stability_index(baseline: Sequence[int], now: Sequence[int]) -> float:
    """Return the population stability index of two lists of counts over the same bins, each plus 1."""
    p, q = _shares(baseline), _shares(now)
    return float(((q - p) * np.log(q / p)).sum())


def alarm_threshold(bins: int, n: int, m: int, false_alarms: float) -> float:
    """Return the index that unchanged data exceed in a share `false_alarms` of windows.

    Args:
        bins: at least 1; one bin cannot differ, so its threshold is 0.
        n: observations in a window. m: observations of the baseline.
    """
    return (1 / n + 1 / m) * chi_square_quantile(bins - 1, 1 - false_alarms) if bins > 1 else 0.0


def pool(counts: Sequence[int], n: int) -> Bins:
    """Lay neighbouring categories together until every bin expects enough, here and in a window of `n`.

    There are two bins at least, the most common category and the others, so that the rare one of two classes
    cannot become frequent unseen.

    Args:
        counts: of the baseline, by category. n: observations in a window.
    """
    m = sum(counts)
    if m < 1 or n < 1:
        raise InputError(f"A baseline and a window need at least 1 observation, got {m} and {n}.")
    least = MIN_EXPECTED * max(1.0, m / n)
    sums, places = [0], [0] * len(counts)
    # In their own order: sorted by counts, the bins of rare categories would differ by chance alone.
    for category in range(len(counts)):
        if sums[-1] >= least:
            sums.append(0)
        places[category] = len(sums) - 1
        sums[-1] += counts[category]
    if len(sums) > 1 and sums[-1] < least:  # The rest is too rare for a bin of its own.
        rest = sums.pop()
        sums[-1] += rest
        places = [min(place, len(sums) - 1) for place in places]
    if len(sums) == 1 and len(counts) > 1:
        most = max(range(len(counts)), key=lambda category: counts[category])
        places = [int(category != most) for category in range(len(counts))]
        sums = [counts[most], m - counts[most]]
    return Bins(tuple(sums), tuple(places))


def confidence_edges(confidences: NDArray[np.floating], bins: int) -> tuple[float, ...]:
    """Return inner edges that cut the baseline's confidences into at most `bins` parts of about equal size.

    Saturated confidences repeat, so there may be fewer edges; a value belongs to the bin whose lower edge it
    reaches.
    """
    inner = np.quantile(confidences, np.arange(1, bins) / bins, method="higher")
    return tuple(float(edge) for edge in np.unique(inner) if edge > confidences.min())


def chi_square_quantile(freedom: int, probability: float) -> float:
    """Return the value that chi-square with `freedom` degrees stays below with this probability."""
    low, high = 0.0, float(max(freedom, 1))
    while _chi_square_tail(high, freedom) > 1 - probability:
        high *= 2
    while low < (middle := low + (high - low) / 2) < high:
        low, high = (middle, high) if _chi_square_tail(middle, freedom) > 1 - probability else (low, middle)
    return high


def _chi_square_tail(x: float, freedom: int) -> float:
    """Return P(χ² > x): the finite sums for whole degrees of freedom (Abramowitz and Stegun 26.4.4, 26.4.5).

    Terms are added as logarithms, since exp(-x / 2) is 0 long before the sum is.
    """
    if x <= 0:
        return 1.0
    half, odd = x / 2, freedom % 2 / 2
    steps = np.arange(freedom // 2) + odd
    terms = (math.exp(step * math.log(half) - half - math.lgamma(step + 1)) for step in steps.tolist())
    return math.fsum(terms) + (math.erfc(math.sqrt(half)) if odd else 0.0)


def _shares(counts: Sequence[int]) -> NDArray[np.floating]:
    array = np.asarray(counts, np.float64) + _ADDED
    shares: NDArray[np.floating] = array / array.sum()
    return shares
