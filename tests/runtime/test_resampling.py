import numpy as np
import pytest
from receipt_factories import tiny_predictions, tiny_receipt

from edgetl_runtime import metrics
from edgetl_runtime.pairing import pair
from edgetl_runtime.resampling import balanced_drop, calibration_drift, macro_f1_drop


def answers(seed, n=600, classes=3):
    """Targets and two related answers with their confidences."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, n)
    before = np.where(rng.random(n) < 0.85, target, rng.integers(0, classes, n))
    after = np.where(rng.random(n) < 0.9, before, rng.integers(0, classes, n))
    return target, before, after, rng.beta(6, 2, n), rng.beta(5, 2, n)


def pair_of(target, before, after, first=None, second=None, classes=3):
    names = tuple(f"c{k}" for k in range(classes))
    sides = ((before, first), (after, second))
    return pair(
        *(
            tiny_receipt(tiny_predictions(target, some, classes=classes, confidence=share), classes=names)
            for some, share in sides
        )
    )


def by_drawing_pictures(n, statistic, rng, times=1_500):
    drawn = [statistic(rng.integers(0, n, n)) for _ in range(times)]
    return np.quantile(drawn, [0.05, 0.95])


def test_the_drop_of_macro_f1_is_that_of_the_figures_and_its_interval_that_of_drawn_pictures():
    target, before, after, *_ = answers(0)
    eye = np.eye(3, dtype=bool)

    def drop(rows):
        f1 = [metrics.macro_f1(eye[target[rows]], eye[some[rows]]).value for some in (before, after)]
        return f1[0] - f1[1]

    found = macro_f1_drop(pair_of(target, before, after), 0.9)
    assert found.value == pytest.approx(drop(np.arange(600)), abs=1e-12)
    low, high = by_drawing_pictures(600, drop, np.random.default_rng(1), times=600)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_macro_f1_of_several_labels_leaves_out_what_the_target_never_shows():
    rng = np.random.default_rng(0)
    target = rng.random((300, 3)) < [0.5, 0.3, 0.0]
    before, after = (target ^ (rng.random(target.shape) < noise) for noise in (0.05, 0.15))
    found = macro_f1_drop(pair_of(target, before, after), 0.9)
    figures = [metrics.macro_f1(target, some).value for some in (before, after)]
    assert found.value == pytest.approx(figures[0] - figures[1], abs=1e-12)
    assert found.interval.low > 0


def test_the_drift_is_the_difference_of_calibration_errors_and_its_interval_that_of_drawn_pictures():
    target, before, after, first, second = answers(2)

    def drift(rows):
        sides = ((before, first), (after, second))
        errors = [
            metrics.expected_calibration_error(target[rows] == some[rows], share[rows]).value
            for some, share in sides
        ]
        return errors[1] - errors[0]

    found = calibration_drift(pair_of(target, before, after, first, second), 0.9)
    assert found.value == pytest.approx(drift(np.arange(600)), abs=1e-9)
    low, high = by_drawing_pictures(600, drift, np.random.default_rng(1), times=600)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_equal_answers_differ_by_nothing():
    target, before, _, first, _ = answers(3)
    same = pair_of(target, before, before, first, first)
    for measure in (balanced_drop, macro_f1_drop, calibration_drift):
        found = measure(same, 0.9)
        assert (found.value, found.interval.low, found.interval.high) == pytest.approx((0, 0, 0), abs=1e-15)
