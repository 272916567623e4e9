"""Before pictures are collected: how many a margin needs, and what margin so many can certify.

The chance that the gate passes a candidate is added up over all counts of flips that it would pass, exactly,
where flips are few; where they are many the normal approximation of `statistics` is as good and quicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edgetl_runtime.errors import InputError
from edgetl_runtime.statistics import certifiable_margin, pictures_needed, within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["DISCORDANCES", "Plan", "PlanRow", "certified_margin", "pass_chance", "pictures_for", "plan"]

DISCORDANCES = (0.005, 0.01, 0.02, 0.04, 0.08)
EXACT_FLIPS = 3_000  # expected flips up to which chances are added up
_TAILS = 9.0  # standard deviations of the number of flips that are added up
_COARSE, _FINE = 40, 400


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One assumed discordance: the share of pictures on which exactly one of the two models is right.

    pictures: what the margin needs. certifies, chance: the smallest margin that `n` pictures certify, and the
    chance that they pass; None where no `n` was given.
    """

    discordance: float
    pictures: int
    certifies: float | None
    chance: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a margin asks for, a row for each discordance that is thought possible.

    drop: the true drop that is assumed. power: the chance that so many pictures pass such a candidate.
    """

    margin: float
    drop: float
    alpha: float
    power: float
    n: int | None
    rows: tuple[PlanRow, ...]


def plan(
    discordances: Sequence[float],
    *,
    margin: float = 0.005,
    drop: float = 0.0,
    n: int | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Plan:
    """Plan a test set.

    Raises:
        InputError: A number is out of its range, or the drop is no less than the margin.
    """
    if not drop < margin:
        raise InputError(f"drop must be below margin={margin!r}, or nothing can pass; got {drop!r}.")
    if n is not None and n < 1:
        raise InputError(f"n must be at least 1 picture, got {n!r}.")
    rows = []
    for share in discordances:
        pictures = pictures_for(share, margin, drop=drop, alpha=alpha, power=power)
        certifies = None if n is None else certified_margin(n, share, alpha=alpha, power=power)
        chance = None if n is None else pass_chance(n, share, drop, margin, alpha)
        rows.append(PlanRow(share, pictures, certifies, chance))
    return Plan(margin, drop, alpha, power, n, tuple(rows))


def pass_chance(n: int, discordance: float, drop: float, margin: float, alpha: float = 0.05) -> float:
    """Return the exact chance that the gate passes a candidate with this true drop.

    Flips come binomially, and split into lost and gained binomially: of each number of flips, those splits
    count whose interval, Tango's with its correction, ends within the margin.
    """
    if not (0 <= abs(drop) <= discordance <= 1 and discordance > 0):
        raise InputError(
            "discordance must be a share in (0, 1] and no less than the drop; "
            f"got {discordance!r} and {drop!r}."
        )
    logs = _log_factorials(n)
    spread = _TAILS * math.sqrt(n * discordance * (1 - discordance)) + _TAILS
    fewest, most = max(0, math.floor(n * discordance - spread)), min(n, math.ceil(n * discordance + spread))
    lost_share = (discordance + drop) / (2 * discordance)
    chance, passing = 0.0, -1  # passing: the most lost that still pass, which grows with the flips by 0 or 1
    for flips in range(fewest, most + 1):
        passing = _most_lost(flips, passing, n, margin, alpha)
        if passing >= 0:
            weight = math.exp(_log_binomial(logs, n, flips, discordance))
            chance += weight * _binomial_sum(logs, flips, passing, lost_share)
    return min(1.0, chance)


def pictures_for(
    discordance: float, margin: float, *, drop: float = 0.0, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Return how many pictures pass a candidate with this true drop with a chance of `power`.

    Whole numbers of flips make the chance a saw: the count returned is one from which on it stays enough, to
    a quarter of a percent.
    """
    about = pictures_needed(discordance, margin, drop, alpha, power)
    if discordance == 0 or about * discordance > EXACT_FLIPS:
        return about

    def enough(n: int) -> bool:
        return pass_chance(n, discordance, drop, margin, alpha) >= power

    coarse, fine = max(1, about // _COARSE), max(1, about // _FINE)
    n = about + 12 * coarse
    while not enough(n):
        n += 12 * coarse
    for step in (coarse, fine):
        while n > step and enough(n - step):
            n -= step
    return n


def certified_margin(n: int, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest margin at which `n` pictures pass a candidate that loses nothing; to 0.001 pp."""
    about = certifiable_margin(discordance, n, alpha, power)
    if discordance == 0 or n * discordance > EXACT_FLIPS:
        return about
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        enough = pass_chance(n, discordance, 0.0, middle, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def _most_lost(flips: int, start: int, n: int, margin: float, alpha: float) -> int:
    """Return how many of the flips may be lost so that the gate passes; -1 if it never does."""
    lost = start
    if start < 0:  # the first row: halve
        low, high = -1, flips + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if within(middle, flips - middle, n, margin, alpha) else (low, middle)
        return low
    while lost < flips and within(lost + 1, flips - lost - 1, n, margin, alpha):
        lost += 1
    while lost >= 0 and not within(lost, flips - lost, n, margin, alpha):
        lost -= 1
    return lost


@lru_cache(maxsize=1)
def _table(size: int) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])


def _log_factorials(n: int) -> Floats:
    """Return log(k!) for k from 0 to at least n; tables are kept in sizes of powers of two."""
    return _table(2 ** math.ceil(math.log2(n + 1)))


def _log_binomial(logs: Floats, n: int, k: int, share: float) -> float:
    if share >= 1:
        return 0.0 if k == n else -math.inf
    ways = float(logs[n] - logs[k] - logs[n - k])
    return ways + k * math.log(share) + (n - k) * math.log1p(-share)


def _binomial_sum(logs: Floats, n: int, most: int, share: float) -> float:
    """Return the chance of at most `most` successes among n."""
    if most >= n:
        return 1.0
    if share >= 1 or share <= 0:
        return float(share <= 0)
    k = np.arange(most + 1)
    terms = logs[n] - logs[k] - logs[n - k] + k * math.log(share) + (n - k) * math.log1p(-share)
    return float(np.exp(terms).sum())
