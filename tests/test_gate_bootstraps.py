"""The rules that a bootstrap decides err about as seldom as docs/gate.md says: simulated candidates."""

import numpy as np
import pytest
from paired_answers import pair_of

from edgetl_runtime.miscalibration import calibration_drift
from edgetl_runtime.resampling import balanced_drop, macro_f1_drop

TIMES = 600
MARGIN = 0.02

pytestmark = pytest.mark.slow


def errors(interval_of, margin, times=TIMES):
    """Return how often simulated candidates whose true drop is the margin pass, and fail."""
    rng = np.random.default_rng(1)
    intervals = [interval_of(rng) for _ in range(times)]
    passed = sum(interval.high <= margin for interval in intervals)
    return passed / times, sum(interval.low > margin for interval in intervals) / times


def seldom(share, times=TIMES):
    """Return a share with the noise of its simulation, three standard deviations."""
    return share + 3 * (share * (1 - share) / times) ** 0.5


@pytest.mark.parametrize(
    ("sizes", "discordances", "drops"),
    [
        ((900, 100), (0.04, 0.1), (0.02, 0.02)),
        ((400,) * 5, (0.03,) * 5, (0.02,) * 5),
        ((2_000, 2_000), (0.03, 0.03), (0.02, 0.02)),
        ((300, 300), (0.08, 0.08), (0.02, 0.02)),
        ((75, 75), (0.025, 0.025), (0.02, 0.02)),
        ((2_000, 20), (0.02, 0.05), (0.0, 0.04)),
        ((1_000, 10, 10), (0.02, 0.08, 0.08), (0.0, 0.03, 0.03)),
        ((100,) * 20, (0.04,) * 20, (0.02,) * 20),
    ],
)
def test_balanced_accuracy_errs_about_as_seldom_as_alpha(sizes, discordances, drops):
    classes = len(sizes)
    target = np.repeat(np.arange(classes), sizes)
    wrong = (target + 1) % classes
    discordance, drop = np.array(discordances)[target], np.array(drops)[target]

    def interval(rng):
        draw = rng.random(len(target))
        lost = draw < (discordance + drop) / 2
        gained = ~lost & (draw < discordance)
        sides = np.where(gained, wrong, target), np.where(lost, wrong, target)
        return balanced_drop(pair_of(target, *sides, classes=classes), 0.9).interval

    assert max(errors(interval, MARGIN)) <= seldom(0.05)


@pytest.mark.parametrize(
    ("shown", "missed"),
    [
        ((0.3, 0.3, 0.3, 0.3, 0.007), (0, 0, 0, 0, 0.18)),  # some ten pictures of the label that is lost
        ((0.3, 0.3, 0.3, 0.02, 0.02), (0.01, 0.01, 0.01, 0.05, 0.05)),
        ((0.05,) * 20, (0.03,) * 20),
    ],
)
def test_macro_f1_of_several_labels_errs_about_as_seldom_as_alpha(shown, missed):
    shown, missed = np.array(shown), np.array(missed)
    hits, found = 0.95 * shown, 0.95 * shown + 0.01 * (1 - shown)
    before, after = 2 * hits / (shown + found), 2 * hits * (1 - missed) / (shown + found - hits * missed)
    margin = float(np.mean(before - after))

    def interval(rng):
        size = (1_500, len(shown))
        target = rng.random(size) < shown
        first = np.where(target, rng.random(size) < 0.95, rng.random(size) < 0.01)
        second = first & ~(target & (rng.random(size) < missed))
        return macro_f1_drop(pair_of(target, first, second, classes=len(shown)), 0.9).interval

    assert max(errors(interval, margin, times=300)) <= seldom(0.06, times=300)


@pytest.mark.parametrize(("n", "shift"), [(200, 0.05), (1_000, 0.02), (5_000, 0.02), (5_000, 0.05)])
def test_calibration_errs_nearly_as_seldom(n, shift):
    share = np.random.default_rng(0).beta(6, 2, 1_000_000)
    claimed = np.clip(share + shift, 0, 1)
    bins = np.clip(np.ceil(claimed * 15).astype(int) - 1, 0, 14)
    rise = float(np.abs(np.bincount(bins, share - claimed)).sum() / len(share))

    def interval(rng):
        share = rng.beta(6, 2, n)
        first = (rng.random(n) > share).astype(int)
        second = np.where(rng.random(n) < 0.02, (rng.random(n) > share).astype(int), first)
        both = pair_of(np.zeros(n, int), first, second, share, np.clip(share + shift, 0, 1), classes=2)
        return calibration_drift(both, 0.9).interval

    assert max(errors(interval, rise, times=400)) <= seldom(0.08, times=400)
