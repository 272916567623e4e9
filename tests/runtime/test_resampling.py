import tracemalloc

import numpy as np
import pytest
from paired_answers import answers, by_drawing_pictures, pair_of

from edgetl_runtime import metrics
from edgetl_runtime.resampling import balanced_drop, macro_f1_drop


@pytest.mark.parametrize("n", [600, 6_000])
def test_the_drop_of_macro_f1_is_that_of_the_figures_and_its_interval_that_of_drawn_pictures(n):
    target, before, after, *_ = answers(0, n)
    eye = np.eye(3, dtype=bool)

    def drop(rows):
        f1 = [metrics.macro_f1(eye[target[rows]], eye[some[rows]]).value for some in (before, after)]
        return f1[0] - f1[1]

    found = macro_f1_drop(pair_of(target, before, after), 0.9)
    assert found.value == pytest.approx(drop(np.arange(n)), abs=1e-12)
    low, high = by_drawing_pictures(n, drop, np.random.default_rng(1), times=600)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_macro_f1_of_several_labels_leaves_out_what_the_target_never_shows():
    rng = np.random.default_rng(0)
    target = rng.random((300, 3)) < [0.5, 0.3, 0.0]
    before, after = (target ^ (rng.random(target.shape) < noise) for noise in (0.05, 0.15))
    found = macro_f1_drop(pair_of(target, before, after), 0.9)
    figures = [metrics.macro_f1(target, some).value for some in (before, after)]
    assert found.value == pytest.approx(figures[0] - figures[1], abs=1e-12)
    assert found.interval.low > 0


def test_macro_f1_of_several_labels_has_the_interval_of_drawn_pictures():
    rng = np.random.default_rng(0)
    target = rng.random((5_000, 4)) < [0.5, 0.3, 0.2, 0.1]
    before, after = (target ^ (rng.random(target.shape) < noise) for noise in (0.05, 0.1))

    def drop(rows):
        f1 = [metrics.macro_f1(target[rows], some[rows]).value for some in (before, after)]
        return f1[0] - f1[1]

    found = macro_f1_drop(pair_of(target, before, after, classes=4), 0.9)
    low, high = by_drawing_pictures(5_000, drop, np.random.default_rng(1), times=600)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_macro_f1_of_a_thousand_classes_needs_little_memory():
    rng, n = np.random.default_rng(0), 20_000
    target = rng.integers(0, 1_000, n)
    before = np.where(rng.random(n) < 0.8, target, rng.integers(0, 1_000, n))
    after = np.where(rng.random(n) < 0.97, before, rng.integers(0, 1_000, n))
    both = pair_of(target, before, after, classes=1_000)
    tracemalloc.start()
    try:
        found = macro_f1_drop(both, 0.9)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.interval.low < found.value < found.interval.high
    assert peak < 100e6


def test_equal_answers_leave_open_what_the_smallest_class_does():
    target = [0] * 900 + [1] * 60 + [2] * 40
    same = pair_of(target, target, target)
    found = balanced_drop(same, 0.9)
    none_of_forty = 1 - 0.05 ** (1 / 40)
    assert (found.value, found.interval.high, found.interval.low) == pytest.approx(
        (0, none_of_forty / 3, -none_of_forty / 3)
    )
    found, lost = macro_f1_drop(same, 0.9), 40 * none_of_forty
    missed, false_finds = lost / (80 - lost), 1 - 80 / (80 + 1_000 * (1 - 0.05 ** (1 / 1_000)))
    assert found.interval.high == pytest.approx((missed + false_finds) / 3)


def test_of_several_labels_the_one_that_is_seldom_shown_counts_and_not_all_pictures():
    target = np.zeros((5_000, 4), bool)
    target[:, :3] = np.random.default_rng(0).random((5_000, 3)) < 0.4
    target[:8, 3] = True
    found = macro_f1_drop(pair_of(target, target, target, classes=4), 0.9)
    lost = 8 * (1 - 0.05 ** (1 / 8))
    assert found.value == 0
    assert found.interval.high == pytest.approx(lost / (16 - lost) / 4)


def test_without_any_label_there_is_nothing_to_drop():
    nothing = np.zeros((50, 3), bool)
    found = macro_f1_drop(pair_of(nothing, nothing, nothing), 0.9)
    assert (found.value, found.interval.low, found.interval.high) == (0, 0, 0)
