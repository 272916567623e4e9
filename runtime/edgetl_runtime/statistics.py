"""Intervals, tests and sample sizes for proportions and for paired proportions.

Standard library only, and it knows nothing about pictures or receipts: counts in, numbers out. Shares and
differences of shares are ratios in [-1, 1], never percent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from edgetl_runtime.errors import InputError

__all__ = [
    "Interval",
    "certifiable_margin",
    "clopper_pearson",
    "corrected_tango",
    "exceeds",
    "holm",
    "mcnemar_exact",
    "pictures_needed",
    "tango",
    "wilson",
    "within",
]

_HALF = 0.5  # a pair, by which an end of an interval is corrected


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval; `low` is never above `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InputError(
                f"Interval.low must not be above Interval.high, got {self.low!r} and {self.high!r}."
            )

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def wilson(k: float, n: float, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of the share `k / n`.

    `k` and `n` may be fractional, for an effective sample size. Wilson, JASA 22 (1927) 209-212; recommended
    for small n by Brown, Cai and DasGupta, Statistical Science 16 (2001) 101-133.

    Raises:
        InputError: `k` is not a part of `n`, or the confidence is not between 0 and 1.
    """
    if not (n > 0 and 0 <= k <= n):
        raise InputError(f"wilson needs 0 <= k <= n and n > 0, got k={k!r}, n={n!r}.")
    z = _two_sided_quantile(confidence)
    share, denominator = k / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding must not push the end of an empty or full sample past the share itself.
    return Interval(max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def tango(b: float, c: float, n: float, confidence: float = 0.95) -> Interval:
    """Return Tango's score interval of the paired difference of shares `(b - c) / n`.

    Of `n` pairs, `b` have the property only before and `c` only after. The interval holds every difference
    that the score test does not reject, and is defined for b = c = 0 as well. Tango, Statistics in Medicine
    17 (1998) 891-908.
    """
    _check_pairs(b, c, n)
    z = _two_sided_quantile(confidence)
    return Interval(-_tango_upper(c, b, n, z), _tango_upper(b, c, n, z))


def corrected_tango(b: float, c: float, n: float, confidence: float = 0.95) -> Interval:
    """Return Tango's interval with a continuity correction: the one that decides.

    Flips come in whole pairs, which Tango's test does not know: where they are few, its ends are crossed too
    often. So each end counts half a pair more against it. Where no pair was lost, that none of n is has an
    exact bound, which is closer; so for a gain.
    """
    _check_pairs(b, c, n)
    alpha = (1 - confidence) / 2
    z = _two_sided_quantile(confidence)
    return Interval(-_corrected_upper(c, b, n, z, alpha), _corrected_upper(b, c, n, z, alpha))


def within(b: float, c: float, n: float, margin: float, alpha: float) -> bool:
    """Return whether `corrected_tango` at a confidence of 1 - 2 alpha ends within `margin`, without it."""
    _check_pairs(b, c, n)
    if b == 0 and (1 - margin) ** n <= alpha:
        return True
    return _tango_score(b + _HALF, c, n + _HALF, margin) <= -_quantile(1 - alpha)


def exceeds(b: float, c: float, n: float, margin: float) -> float:
    """Return the one-sided p-value of a difference of at most `margin`: below alpha it is beyond.

    The test of the lower end of `corrected_tango`; at a difference no greater than `margin` it gives 1.
    """
    _check_pairs(b, c, n)
    if not b - c > n * margin:
        return 1.0
    return NormalDist().cdf(-_tango_score(b, c + _HALF, n + _HALF, margin))


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the exact interval of the share `k / n`: each end is wrong no oftener than it says.

    Clopper and Pearson, Biometrika 26 (1934) 404-413.
    """
    if not (n > 0 and 0 <= k <= n):
        raise InputError(f"clopper_pearson needs 0 <= k <= n and n > 0, got k={k!r}, n={n!r}.")
    _two_sided_quantile(confidence)
    tail = (1 - confidence) / 2
    return Interval(1 - _binomial_upper(n - k, n, tail), _binomial_upper(k, n, tail))


def mcnemar_exact(b: int, c: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: could a fair coin split `b + c` like this?"""
    n, k = b + c, min(b, c)
    _check_pairs(b, c, max(n, 1))
    term = math.comb(n, k) / 2**n  # exact integers: log-gamma would lose digits at thousands of flips
    tail = 0.0
    while term > tail * 1e-18:
        tail += term
        term *= k / (n - k + 1)
        k -= 1
    return min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold together, in the order given: each below alpha may be called significant.

    Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def pictures_needed(
    discordance: float, margin: float, true_drop: float = 0.0, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Return how many pictures tell a drop of `true_drop` from one of `margin`.

    Args:
        discordance: Share of the pictures on which exactly one of the two models is right.
        margin: The drop at which the decision flips.
        true_drop: The drop that is assumed; below the margin the count is for a PASS, above it for a FAIL.
        alpha: One-sided error of the decision.
        power: Chance that this many pictures do decide.
    """
    _check_plan(discordance, margin, alpha, power)
    if not abs(true_drop) <= discordance or true_drop == margin:
        raise InputError(
            f"true_drop must differ from margin={margin!r} and be at most discordance={discordance!r} "
            f"in size, got {true_drop!r}."
        )
    z_alpha, z_power = _quantile(1 - alpha), _quantile(power)
    planned = discordance * ((z_alpha + z_power) / (margin - true_drop)) ** 2
    fewest = math.log(alpha) / math.log1p(-margin) if margin < 1 else 1  # without any flip
    return math.ceil(max(planned, fewest))


def certifiable_margin(discordance: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest margin that `n` pictures can certify for a model that loses nothing."""
    _check_plan(discordance, 1.0, alpha, power)
    if n < 1:
        raise InputError(f"n must be at least 1 picture, got {n!r}.")
    z_alpha, z_power = _quantile(1 - alpha), _quantile(power)
    return max((z_alpha + z_power) * math.sqrt(discordance / n), _none_seen(n, alpha))


def _corrected_upper(b: float, c: float, n: float, z: float, alpha: float) -> float:
    upper = _tango_upper(b + _HALF, c, n + _HALF, z)
    return min(upper, _none_seen(n, alpha)) if b == 0 else upper


def _tango_upper(b: float, c: float, n: float, z: float) -> float:
    """Return the largest difference in [(b - c) / n, 1] whose score statistic is at least -z."""
    return _last_true(lambda difference: _tango_score(b, c, n, difference) >= -z, (b - c) / n, 1.0)


def _tango_score(b: float, c: float, n: float, difference: float) -> float:
    """Return the score statistic of H0: the true difference is `difference`, at least `(b - c) / n`."""
    share = _restricted_share(b, c, n, difference)
    variance = n * (2 * share + difference * (1 - difference))
    excess = b - c - n * difference
    if variance <= 0:  # only at differences of -1 and 1, which leave no room for chance
        return 0.0 if excess == 0 else -math.inf
    return excess / math.sqrt(variance)


def _restricted_share(b: float, c: float, n: float, difference: float) -> float:
    """Return the likeliest share of `c` pairs under H0: the larger root of Tango's quadratic.

    Of its two equal forms the one that adds numbers of the same sign is used, so that no digits cancel.
    """
    linear = (2 * n - b + c) * difference - b - c
    constant = -c * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
    if linear > 0:
        return -2 * constant / (linear + root)
    return (root - linear) / (4 * n)


def _none_seen(n: float, alpha: float) -> float:
    """Return the share at which none of `n` still has a chance of `alpha`."""
    return -math.expm1(math.log(alpha) / n)


def _binomial_upper(k: int, n: int, tail: float) -> float:
    """Return the largest share at which at most `k` of `n` still have a chance of `tail`."""
    if k == n:
        return 1.0
    return _last_true(lambda share: _binomial_tail(k, n, share) >= tail, k / n, 1.0)


def _binomial_tail(k: int, n: int, share: float) -> float:
    """Return the chance of at most `k` successes among `n`, for a share of at least `k / n`, below 1."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(log_ways + k * math.log(share) + (n - k) * math.log1p(-share))
    tail, odds = 0.0, (1 - share) / share
    while term > tail * 1e-16:
        tail += term
        term *= k / (n - k + 1) * odds
        k -= 1
    return tail


def _last_true(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return, to the last bit, the last place from `low` (true) to `high` where `holds` is still true."""
    if holds(high):
        return high
    while low < (middle := low + (high - low) / 2) < high:
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _two_sided_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence!r}.")
    return _quantile(0.5 + confidence / 2)


def _check_pairs(b: float, c: float, n: float) -> None:
    if not (b >= 0 and c >= 0 and n > 0 and b + c <= n):
        raise InputError(
            f"Paired counts need b >= 0, c >= 0 and b + c <= n, n > 0; got b={b!r}, c={c!r}, n={n!r}."
        )


def _check_plan(discordance: float, margin: float, alpha: float, power: float) -> None:
    if not 0 <= discordance <= 1:
        raise InputError(f"discordance must be a share in [0, 1], got {discordance!r}.")
    if not 0 < margin <= 1:
        raise InputError(
            f"margin must be a share in (0, 1], got {margin!r}; 0.005 is half a percentage point."
        )
    if not (0 < alpha < 0.5 and 0.5 <= power < 1):
        raise InputError(f"alpha must lie in (0, 0.5) and power in [0.5, 1), got {alpha!r} and {power!r}.")
