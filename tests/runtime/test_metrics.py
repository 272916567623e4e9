import numpy as np
import pytest

from edgetl_runtime.errors import InputError
from edgetl_runtime.metrics import (
    Figure,
    accuracy,
    auc,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    f1_per_class,
    figures,
    macro_f1,
    recall_per_class,
    subset_accuracy,
)
from edgetl_runtime.statistics import wilson


def one_hot(target, classes):
    return np.array(target)[:, None] == np.arange(classes)


def two_columns(score):
    return np.stack([1 - np.array(score), np.array(score)], axis=1)


def test_accuracy_is_the_share_of_right_classes_with_wilsons_interval():
    figure = accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]))
    interval = wilson(3, 4)
    assert figure == Figure("accuracy", 0.75, interval.low, interval.high, 4)


def test_the_rows_of_the_confusion_matrix_are_targets():
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2]), 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_recall_is_per_class_and_missing_for_a_class_without_pictures():
    cat, dog, fox = recall_per_class(np.array([0, 0, 0, 2]), np.array([0, 0, 1, 2]), 3)
    assert (cat.value, cat.n, fox.value, fox.n) == (2 / 3, 3, 1.0, 1)
    assert dog is None


def test_balanced_accuracy_weighs_classes_and_not_pictures():
    target = np.array([0] * 90 + [1] * 10)
    figure = balanced_accuracy(target, np.zeros(100, int), 2)
    assert (figure.value, figure.n) == (0.5, 100)
    assert accuracy(target, np.zeros(100, int)).value == 0.9


def test_the_interval_of_balanced_accuracy_is_newcombes_for_two_classes():
    # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II (a), method 10: 56/70 less 48/80 is 0.0524
    # to 0.3339. The mean of 56/70 and 1 - 48/80 is that difference plus 1, halved.
    target = np.array([0] * 70 + [1] * 80)
    predicted = np.array([0] * 56 + [1] * 14 + [1] * 32 + [0] * 48)
    figure = balanced_accuracy(target, predicted, 2)
    assert (round(2 * figure.low - 1, 4), round(2 * figure.high - 1, 4)) == (0.0524, 0.3339)


def test_perfect_answers_still_have_an_interval_with_a_width():
    target = np.array([0, 0, 1, 1, 1])
    found = figures("single_label", ("cat", "dog"), target, target, two_columns(target * 1.0))
    assert {name: figure.value for name, figure in found.items()} == {
        "accuracy": 1.0,
        "balanced_accuracy": 1.0,
        "auc": 1.0,
        "expected_calibration_error": 0.0,
    }
    assert found["balanced_accuracy"].low < 0.8
    assert found["auc"].low == wilson(2, 2).low
    assert found["expected_calibration_error"].high > 0.2


def test_auc_is_the_share_of_pairs_in_the_right_order_ties_half():
    target, score = [0, 0, 0, 1, 1], [0.1, 0.4, 0.6, 0.4, 0.9]
    # Pairs of a dog and a cat: 0.4 beats 0.1, ties 0.4, loses to 0.6; 0.9 beats all three.
    assert auc(one_hot(target, 2), two_columns(score)).value == pytest.approx((1 + 0.5 + 0 + 3) / 6)


def test_the_interval_of_auc_comes_from_delongs_variance():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 40).round(1), rng.normal(0, 1, 60).round(1)
    order = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    area = order.mean()
    variance = order.mean(axis=1).var(ddof=1) / 40 + order.mean(axis=0).var(ddof=1) / 60
    expected = wilson(area * (n := area * (1 - area) / variance), n)
    target = np.array([1] * 40 + [0] * 60)
    figure = auc(one_hot(target, 2), two_columns(np.concatenate([positive, negative])))
    assert figure.value == pytest.approx(area)
    assert (figure.low, figure.high) == pytest.approx((expected.low, expected.high))


def test_auc_of_several_classes_is_the_mean_over_those_that_can_be_told_apart():
    target = [0, 0, 1, 1]
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    # Class 0: pairs (0.7, 0.4) over (0.5, 0.1): 3 of 4. Class 1: (0.4, 0.1) over (0.2, 0.3): 2 of 4.
    assert auc(one_hot(target, 3), probabilities).value == pytest.approx((0.75 + 0.5) / 2)


def test_auc_is_undefined_with_pictures_of_one_class():
    assert auc(one_hot([1, 1], 2), two_columns([0.4, 0.6])) is None
    assert "auc" not in figures(
        "single_label", "ab", np.array([1, 1]), np.array([0, 1]), two_columns([0.4, 0.6])
    )


def test_calibration_error_is_the_weighted_gap_between_confidence_and_accuracy():
    confidence = np.array([0.9] * 10 + [0.6] * 30)
    right = np.array([True] * 7 + [False] * 3 + [True] * 18 + [False] * 12)
    figure = expected_calibration_error(right, confidence)
    assert figure.value == pytest.approx(0.25 * 0.2 + 0.75 * 0.0)
    assert figure.low == 0.0
    assert 0.1 < figure.high < 0.3


def test_a_model_that_is_sure_and_wrong_has_a_calibration_error_near_one():
    figure = expected_calibration_error(np.zeros(1_000, bool), np.ones(1_000))
    assert (figure.value, figure.high) == (1.0, 1.0)
    assert figure.low > 0.99


def test_several_labels_are_right_only_together():
    target = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)
    predicted = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert subset_accuracy(target, predicted).value == 2 / 3


def test_f1_is_per_class_and_its_mean_leaves_out_classes_without_pictures():
    target = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    predicted = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]], bool)
    cat, dog, fox = f1_per_class(target, predicted)
    assert (cat.value, cat.n) == (4 / 6, 4)
    assert dog.value == 1.0
    assert fox is None
    assert macro_f1(target, predicted).value == pytest.approx((4 / 6 + 1) / 2)


def test_the_interval_of_macro_f1_widens_when_the_errors_meet_in_the_same_pictures():
    target = np.ones((200, 4), bool)
    together, apart = target.copy(), target.copy()
    together[:20] = False
    for label in range(4):
        apart[20 * label : 20 * label + 20, label] = False
    joined, spread = macro_f1(target, together), macro_f1(target, apart)
    assert joined.value == pytest.approx(spread.value)
    assert joined.value - joined.low == pytest.approx(2 * (spread.value - spread.low), rel=0.01)


def test_multi_label_figures_have_no_calibration_and_no_f1_without_any_label():
    target = np.array([[1, 0], [0, 1], [0, 0]], bool)
    found = figures("multi_label", ("a", "b"), target, target, np.where(target, 0.9, 0.2))
    assert list(found) == ["subset_accuracy", "macro_f1", "auc"]
    nothing = np.zeros((3, 2), bool)
    assert list(figures("multi_label", ("a", "b"), nothing, nothing, None)) == ["subset_accuracy"]


def test_the_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    recalls = np.array([0.95, 0.7, 0.85])
    covered = []
    for _ in range(400):
        target = rng.integers(0, 3, 120)
        predicted = np.where(rng.random(120) < recalls[target], target, (target + 1) % 3)
        figure = balanced_accuracy(target, predicted, 3)
        covered.append(figure.low <= recalls.mean() <= figure.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_no_pictures_and_impossible_figures_are_refused():
    with pytest.raises(InputError, match="accuracy needs at least one picture, got none"):
        accuracy(np.array([], int), np.array([], int))
    with pytest.raises(
        InputError, match=r"'auc' needs 0 <= low <= value <= high <= 1 and n >= 1, got 0.5, 0.4"
    ):
        Figure("auc", 0.4, 0.5, 0.6, 10)
