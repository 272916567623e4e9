import math
from statistics import NormalDist

import numpy as np
import pytest

from edgetl_runtime.errors import InputError
from edgetl_runtime.statistics import (
    Interval,
    certifiable_margin,
    clopper_pearson,
    corrected_tango,
    exceeds,
    holm,
    mcnemar_exact,
    pictures_needed,
    tango,
    wilson,
    within,
)

PAIRS = [
    (b, c, n)
    for n in (1, 2, 7, 100, 1_000, 100_000)
    for b in (0, 1, 2, 5, 30, 600)
    for c in (0, 1, 3, 30, 400)
    if b + c <= n
]


def z_by_search(b, c, n, difference):
    """Tango's statistic with the restricted likelihood maximised by golden section, not by his quadratic."""

    def log_likelihood(share):
        cells = ((b, share + difference), (c, share), (n - b - c, 1 - 2 * share - difference))
        return sum(k * math.log(max(p, 1e-300)) for k, p in cells if k)

    low, high = max(0.0, -difference), (1 - difference) / 2
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(200):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if log_likelihood(left) >= log_likelihood(right) else (left, high)
    share = (low + high) / 2
    return (b - c - n * difference) / math.sqrt(n * (2 * share + difference - difference**2))


@pytest.mark.parametrize(
    ("b", "c", "n", "low", "high"),
    [
        (12, 8, 1_000, -0.36, 1.20),
        (30, 20, 5_000, -0.03, 0.44),
        (3, 0, 1_000, 0.03, 0.75),
        (0, 0, 1_000, -0.27, 0.27),
    ],
)
def test_tango_gives_the_worked_examples_in_percentage_points(b, c, n, low, high):
    interval = tango(b, c, n, 0.9)
    assert (round(100 * interval.low, 2), round(100 * interval.high, 2)) == (low, high)


def test_tango_and_mcnemar_give_the_numbers_of_a_published_table():
    # Complete response before and after consolidation therapy (Cavo et al. 2012), as R's contingencytables
    # prints it for Fagerland, Lydersen and Laake, "Statistical Analysis of Contingency Tables", chapter 8.
    interval = tango(6, 16, 161, 0.95)
    assert (round(interval.low, 4), round(interval.high, 4)) == (-0.1240, -0.0054)
    assert round(mcnemar_exact(6, 16), 6) == 0.052479


@pytest.mark.parametrize(("b", "c", "n"), PAIRS)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_tango_contains_the_difference_and_mirrors_when_the_models_are_swapped(b, c, n, confidence):
    interval = tango(b, c, n, confidence)
    assert -1 <= interval.low <= (b - c) / n <= interval.high <= 1
    assert tango(c, b, n, confidence) == Interval(-interval.high, -interval.low)


@pytest.mark.parametrize(
    ("b", "c", "n"), [(0, 0, 50), (3, 0, 40), (0, 4, 1_000), (12, 8, 1_000), (30, 70, 400)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.99])
def test_the_ends_of_tango_are_where_the_score_equals_the_quantile(b, c, n, confidence):
    quantile = NormalDist().inv_cdf(0.5 + confidence / 2)
    interval = tango(b, c, n, confidence)
    assert z_by_search(b, c, n, interval.low) == pytest.approx(quantile, abs=1e-6)
    assert z_by_search(b, c, n, interval.high) == pytest.approx(-quantile, abs=1e-6)


def test_tango_shrinks_as_pictures_are_added_at_the_same_rates():
    widths = [(i.high - i.low) for i in (tango(6 * k, 4 * k, 100 * k) for k in (1, 2, 10, 100))]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] / widths[3] == pytest.approx(10**0.5, rel=0.02)


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 1), (5, 0, 5), (0, 5, 5), (100_000, 0, 100_000)])
def test_tango_is_defined_where_all_pairs_fall_into_one_cell(b, c, n):
    interval = tango(b, c, n)
    assert (b - c) / n in interval
    assert interval.low == -1 if c == n else interval.low > -1
    assert interval.high == 1 if b == n else interval.high < 1


def test_tango_covers_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for discordance, drop, n in ((0.02, 0.0, 1_000), (0.02, 0.005, 2_000), (0.2, 0.1, 100)):
        b, c, _ = rng.multinomial(
            n, [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance], 3_000
        ).T
        covered = {
            pair: drop in tango(*pair, n, 0.9) for pair in set(zip(b.tolist(), c.tolist(), strict=True))
        }
        share = np.mean([covered[pair] for pair in zip(b.tolist(), c.tolist(), strict=True)])
        assert share == pytest.approx(0.9, abs=0.025)


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(0, 0, 1.0), (1, 1, 1.0), (5, 5, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (8, 1, 20 / 512)],
)
def test_mcnemar_gives_the_tail_of_a_fair_coin(b, c, p):
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b) == p


def test_mcnemar_stays_exact_at_fifty_thousand_flips():
    assert mcnemar_exact(25_300, 24_700) == pytest.approx(math.erfc(599 / math.sqrt(2 * 50_000)), rel=1e-3)
    assert mcnemar_exact(50_000, 0) == 0


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_gives_published_intervals(k, n, low, high):
    # The last two: Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    interval = wilson(k, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("margin", "drop", "counts"),
    [
        (0.005, 0, (1_237, 2_474, 4_947, 9_893)),
        (0.005, 0.002, (3_435, 6_870, 13_740, 27_479)),
        (0.010, 0, (310, 619, 1_237, 2_474)),
        (0.010, 0.002, (484, 967, 1_933, 3_865)),
    ],
)
def test_pictures_needed_gives_the_table_of_the_plan(margin, drop, counts):
    assert tuple(pictures_needed(psi, margin, drop) for psi in (0.005, 0.01, 0.02, 0.04)) == counts


@pytest.mark.parametrize(
    ("n", "margins"),
    [
        (1_000, (0.79, 1.11, 1.57, 2.22)),
        (5_000, (0.35, 0.50, 0.70, 0.99)),
        (50_000, (0.11, 0.16, 0.22, 0.31)),
    ],
)
def test_certifiable_margin_gives_the_table_of_the_plan(n, margins):
    found = tuple(round(100 * certifiable_margin(psi, n), 2) for psi in (0.01, 0.02, 0.04, 0.08))
    assert found == pytest.approx(margins, abs=0.011)


def test_without_any_flip_the_plan_is_where_the_gate_itself_passes():
    n = pictures_needed(0.0, 0.005)
    assert n == 598
    assert corrected_tango(0, 0, n, 0.9).high <= 0.005 < corrected_tango(0, 0, n - 1, 0.9).high
    assert certifiable_margin(0.0, n) == pytest.approx(corrected_tango(0, 0, n, 0.9).high)


def test_the_power_of_the_gate_is_what_the_plan_promises():
    rng = np.random.default_rng(0)
    n = pictures_needed(0.02, 0.005)
    b, c, _ = rng.multinomial(n, [0.01, 0.01, 0.98], 2_000).T
    passed = np.mean(
        [tango(*pair, n, 0.9).high <= 0.005 for pair in zip(b.tolist(), c.tolist(), strict=True)]
    )
    assert passed == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(5, 4), r"wilson needs 0 <= k <= n and n > 0, got k=5, n=4\."),
        (lambda: wilson(0, 0), "n=0"),
        (lambda: clopper_pearson(5, 4), r"clopper_pearson needs 0 <= k <= n and n > 0, got k=5, n=4\."),
        (lambda: clopper_pearson(1, 2, 0.0), r"confidence must lie between 0 and 1, got 0\.0"),
        (lambda: corrected_tango(3, 3, 5), r"b \+ c <= n, n > 0; got b=3, c=3, n=5"),
        (lambda: wilson(1, 2, 1.0), r"confidence must lie between 0 and 1, got 1\.0"),
        (lambda: tango(3, 3, 5), r"b \+ c <= n, n > 0; got b=3, c=3, n=5"),
        (lambda: mcnemar_exact(-1, 3), "got b=-1, c=3"),
        (lambda: pictures_needed(0.02, 0.0), r"margin must be a share in \(0, 1\], got 0\.0"),
        (lambda: pictures_needed(0.02, 0.005, 0.005), "true_drop must differ from margin=0.005"),
        (lambda: pictures_needed(0.02, 0.05, 0.03), "at most discordance=0.02 in size, got 0.03"),
        (lambda: pictures_needed(0.02, 0.05, alpha=0.6), r"alpha must lie in \(0, 0\.5\)"),
        (lambda: pictures_needed(2, 0.05), r"discordance must be a share in \[0, 1\], got 2"),
        (lambda: certifiable_margin(0.02, 0), "n must be at least 1 picture, got 0"),
        (lambda: Interval(2.0, 1.0), "Interval.low must not be above"),
    ],
)
def test_numbers_outside_their_range_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_tango_gives_the_interval_of_the_recommended_method_in_a_published_comparison():
    # Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al. 2009): Fagerland,
    # Lydersen and Laake, Statistics in Medicine 33 (2014) 2850-2875, the row of Tango's asymptotic score.
    interval = tango(1, 7, 21, 0.95)
    assert (round(interval.low, 3), round(interval.high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(("b", "c", "n"), PAIRS)
@pytest.mark.parametrize("margin", [0.005, 0.02, 0.3])
def test_within_and_exceeds_say_where_the_interval_ends(b, c, n, margin):
    interval = corrected_tango(b, c, n, 0.9)
    assert abs(interval.high - margin) > 1e-12
    assert within(b, c, n, margin, 0.05) == (interval.high <= margin)
    if c > 0:  # without a gain the lower end is the exact one where that is closer
        assert (exceeds(b, c, n, margin) < 0.05) == (interval.low > margin)


@pytest.mark.parametrize(("b", "c", "n"), PAIRS)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_corrected_interval_is_no_shorter_than_tangos_but_where_an_exact_one_is(b, c, n, confidence):
    interval, plain = corrected_tango(b, c, n, confidence), tango(b, c, n, confidence)
    assert corrected_tango(c, b, n, confidence) == Interval(-interval.high, -interval.low)
    assert (b - c) / n in interval
    exact = clopper_pearson(0, n, confidence).high
    assert interval.high >= (min(plain.high, exact) if b == 0 else plain.high) - 1e-12
    assert interval.low <= (max(plain.low, -exact) if c == 0 else plain.low) + 1e-12


@pytest.mark.parametrize(
    ("b", "c", "n"), [(3, 0, 40), (12, 8, 1_000), (30, 70, 400), (1, 1, 9), (600, 400, 100_000)]
)
def test_the_correction_is_half_a_pair_more_against_each_end(b, c, n):
    interval = corrected_tango(b, c, n, 0.9)
    assert interval.high == tango(b + 0.5, c, n + 0.5, 0.9).high
    assert interval.low == tango(b, c + 0.5, n + 0.5, 0.9).low


def test_no_flip_at_all_has_the_exact_bound():
    assert corrected_tango(0, 0, 598, 0.9).high == pytest.approx(1 - 0.05 ** (1 / 598), abs=1e-15)
    assert (1 - corrected_tango(0, 0, 90, 0.8).high) ** 90 == pytest.approx(0.1)


def test_a_difference_that_is_not_seen_is_not_exceeded():
    assert exceeds(3, 3, 100, 0.0) == 1.0
    assert exceeds(5, 0, 1_000, 0.005) == 1.0
    assert 0.05 < exceeds(6, 0, 1_000, 0.005) < 0.5
    assert exceeds(40, 0, 1_000, 0.005) < 1e-8


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # Clopper and Pearson's own example, Biometrika 26 (1934), 3 of 10 at 95 %; then the rule of three.
    [(3, 10, 0.0667, 0.6525), (0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 4, 0.0063, 0.8059)],
)
def test_clopper_and_pearson_give_known_intervals(k, n, low, high):
    interval = clopper_pearson(k, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 268), (12, 1_000), (2_000, 100_000)])
def test_the_ends_of_clopper_and_pearson_are_where_the_tails_have_their_chance(k, n):
    interval = clopper_pearson(k, n, 0.9)
    log_ways = [math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1) for j in range(k + 1)]
    terms = [
        math.exp(ways + j * math.log(interval.high) + (n - j) * math.log1p(-interval.high))
        for j, ways in enumerate(log_ways)
    ]
    assert math.fsum(terms) == pytest.approx(0.05, abs=1e-9)
    assert clopper_pearson(n - k, n, 0.9).low == pytest.approx(1 - interval.high, abs=1e-15)


def test_holm_multiplies_the_least_by_all_and_never_goes_down():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
