"""The population stability index: its threshold against tables, its false alarms against what was asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.drift import (
    MIN_EXPECTED,
    alarm_threshold,
    chi_square_quantile,
    confidence_edges,
    pool,
    stability_index,
)
from edgetl_runtime.errors import InputError

COUNTS = st.lists(st.integers(0, 1_000), min_size=1, max_size=40).filter(any)


@pytest.mark.parametrize(
    ("freedom", "probability", "value"),
    # NIST/SEMATECH e-Handbook, section 1.3.6.7.4, to its three decimals.
    [(1, 0.95, 3.841), (2, 0.99, 9.210), (9, 0.999, 27.877), (10, 0.90, 15.987), (100, 0.99, 135.807)],
)
def test_the_quantile_of_chi_square_is_that_of_the_tables(freedom, probability, value):
    assert chi_square_quantile(freedom, probability) == pytest.approx(value, abs=5e-4)


def test_the_quantile_holds_for_many_bins_and_rare_alarms():
    assert chi_square_quantile(5_000, 0.99999) == pytest.approx(5_436.7, rel=1e-3)
    assert chi_square_quantile(1, 1 - 1e-9) > 37


def test_equal_shares_have_no_index_whatever_their_numbers():
    assert stability_index([9, 19, 29], [99, 199, 299]) == pytest.approx(0)
    assert stability_index([0, 100], [100, 0]) > 5


@given(COUNTS, st.data())
def test_the_index_is_finite_symmetric_and_not_negative(baseline, data):
    now = data.draw(st.lists(st.integers(0, 1_000), min_size=len(baseline), max_size=len(baseline)))
    index = stability_index(baseline, now)
    assert np.isfinite(index)
    assert index >= 0
    assert stability_index(now, baseline) == pytest.approx(index)


@given(COUNTS, st.integers(1, 2_000))
def test_bins_keep_all_counts_and_expect_enough(counts, n):
    bins = pool(counts, n)
    assert sum(bins.counts) == sum(counts)
    again = np.bincount(bins.place, weights=counts, minlength=len(bins.counts))
    assert again.tolist() == list(bins.counts)
    assert len(bins.counts) >= min(2, len(counts))
    if len(bins.counts) > 2:
        assert min(bins.counts) >= MIN_EXPECTED * max(1, sum(counts) / n)


def test_the_rare_one_of_two_classes_keeps_its_bin():
    assert pool([299, 1], 1_000).counts == (299, 1)
    assert pool([1, 299], 1_000).place == (1, 0)


def test_one_category_cannot_drift():
    assert alarm_threshold(len(pool([10], 100).counts), 100, 10, 0.001) == 0


def test_nothing_is_no_baseline():
    with pytest.raises(InputError, match="at least 1 observation, got 0 and 5"):
        pool([0, 0], 5)


def test_edges_cut_into_equal_parts_and_repeat_nothing():
    assert confidence_edges(np.arange(100) / 100, 4) == (0.25, 0.5, 0.75)
    assert confidence_edges(np.array([0.5, 1.0, 1.0, 1.0]), 4) == (1.0,)
    assert confidence_edges(np.ones(50), 10) == ()


MIXES = {
    "two classes": [0.7, 0.3],
    "a rare defect": [0.99, 0.01],
    "ten uneven classes": [0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.015, 0.005],
    "a hundred classes": [0.01] * 100,
}


def alarms(rng, shares, now, *, m, n, false_alarms, windows):
    count = 0
    for _ in range(windows):
        bins = pool(rng.multinomial(m, shares).tolist(), n)
        seen = np.bincount(bins.place, weights=rng.multinomial(n, now), minlength=len(bins.counts))
        count += stability_index(bins.counts, seen) > alarm_threshold(len(bins.counts), n, m, false_alarms)
    return count / windows


@pytest.mark.parametrize("mix", MIXES)
def test_a_shift_is_seen_and_its_absence_is_not(mix):
    rng, shares = np.random.default_rng(1), np.array(MIXES[mix])
    shifted = shares[::-1] if mix != "a hundred classes" else np.repeat([0.019, 0.001], 50)
    assert alarms(rng, shares, shifted, m=600, n=500, false_alarms=0.001, windows=100) == 1.0
    assert alarms(rng, shares, shares, m=600, n=500, false_alarms=0.001, windows=300) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize(("m", "n"), [(300, 1_000), (600, 500), (5_000, 500), (500, 100)])
def test_false_alarms_are_as_rare_as_was_asked_for(mix, m, n):
    """Of 4,000 windows: at most half more than was asked for, and four standard errors."""
    rng, shares = np.random.default_rng(2), np.array(MIXES[mix])
    for asked in (0.05, 0.005):
        got = alarms(rng, shares, shares, m=m, n=n, false_alarms=asked, windows=4_000)
        assert got <= 1.5 * asked + 4 * np.sqrt(asked / 4_000)
