import numpy as np
import pytest
from paired_answers import answers, pair_of

from edgetl_runtime import metrics
from edgetl_runtime.miscalibration import calibration_drift


def calibrated(n, seed, shift=0.0):
    """A model whose confidence tells the truth, and one that claims `shift` more at the same answers."""
    rng = np.random.default_rng(seed)
    share = rng.beta(6, 2, n)
    answer = (rng.random(n) > share).astype(int)
    return pair_of(np.zeros(n, int), answer, answer, share, np.clip(share + shift, 0, 1))


def test_the_drift_is_the_difference_of_calibration_errors():
    target, before, after, first, second = answers(2)
    found = calibration_drift(pair_of(target, before, after, first, second), 0.9)
    errors = [
        metrics.expected_calibration_error(target == some, share).value
        for some, share in ((before, first), (after, second))
    ]
    assert found.value == pytest.approx(errors[1] - errors[0], abs=1e-9)
    assert found.interval.low < found.value < found.interval.high


def test_equal_answers_of_many_pictures_have_not_drifted():
    found = calibration_drift(calibrated(5_000, 0), 0.9)
    assert found.value == 0
    assert found.interval.high == pytest.approx(1 - 0.05 ** (1 / 5_000))


def test_a_few_pictures_leave_any_drift_open():
    target = np.zeros(5, int)
    found = calibration_drift(pair_of(target, target, target, np.full(5, 0.9), np.full(5, 0.9)), 0.9)
    assert found.value == 0
    assert found.interval.high == pytest.approx(1 - 0.05 ** (1 / 5))


def test_a_small_change_of_confidence_is_told_from_a_large_one():
    small, large = (calibration_drift(calibrated(5_000, 0, shift), 0.9).interval for shift in (0.002, 0.1))
    assert small.high < 0.02
    assert large.low > 0.05


def test_a_rise_that_the_noise_of_the_baseline_hides_is_within_the_interval():
    # The baseline is calibrated: its error that is seen, 1.4 points, is noise, so the rise looks smaller.
    found = [calibration_drift(calibrated(5_000, seed, 0.05), 0.9) for seed in range(20)]
    assert np.mean([one.value for one in found]) < 0.04
    assert sum(one.interval.high <= 0.0488 for one in found) <= 3


def test_a_fall_looks_smaller_too():
    there = [calibrated(5_000, seed, 0.05) for seed in range(20)]
    back = [
        calibration_drift(pair_of(p.target, p.before, p.after, p.confidence, p.before_confidence), 0.9)
        for p in there
    ]
    assert sum(one.interval.low > -0.0488 for one in back) <= 3
