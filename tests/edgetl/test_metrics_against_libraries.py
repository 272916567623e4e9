"""The runtime's figures and intervals, in numpy for devices, against scikit-learn, scipy and statsmodels."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    recall_score,
    roc_auc_score,
)
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_confint

from edgetl_runtime import metrics, statistics

PROBLEMS = [(seed, n, classes) for seed in range(4) for n, classes in ((30, 2), (200, 3), (1_000, 12))]


def single_label(seed, n, classes, decimals=2):
    """Targets that leave out the last class now and then, and probabilities with many ties."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, n)
    scores = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[target]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return target, probabilities.argmax(axis=1), probabilities.round(decimals)


def multi_label(seed, n, classes):
    rng = np.random.default_rng(seed)
    target = rng.random((n, classes)) < 0.3
    shares = np.clip(0.5 * target + 0.5 * rng.random((n, classes)), 0, 1).round(2)
    return target, shares >= 0.5, shares


@pytest.mark.parametrize(("seed", "n", "classes"), PROBLEMS)
def test_figures_of_single_labels_equal_scikit_learn(seed, n, classes):
    target, predicted, probabilities = single_label(seed, n, classes)
    names = [str(number) for number in range(classes)]
    found = metrics.figures("single_label", names, target, predicted, probabilities)
    one_hot = np.eye(classes)[target]
    area = roc_auc_score(one_hot, probabilities, average="macro") if classes > 2 else None
    area = roc_auc_score(target, probabilities[:, 1]) if area is None else area
    assert found["accuracy"].value == pytest.approx(accuracy_score(target, predicted), abs=1e-12)
    assert found["balanced_accuracy"].value == pytest.approx(
        balanced_accuracy_score(target, predicted), abs=1e-12
    )
    assert found["auc"].value == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize(("seed", "n", "classes"), PROBLEMS)
def test_counts_and_recalls_equal_scikit_learn(seed, n, classes):
    target, predicted, _ = single_label(seed, n, classes)
    labels = list(range(classes))
    assert np.array_equal(
        metrics.confusion_matrix(target, predicted, classes),
        confusion_matrix(target, predicted, labels=labels),
    )
    recalls = [figure.value for figure in metrics.recall_per_class(target, predicted, classes)]
    assert recalls == pytest.approx(recall_score(target, predicted, labels=labels, average=None), abs=1e-12)


def test_a_class_without_pictures_is_left_out_as_in_scikit_learn():
    target, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = metrics.balanced_accuracy(target, predicted, 3).value
    assert found == pytest.approx(balanced_accuracy_score(target, predicted), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_figures_of_several_labels_equal_scikit_learn(seed):
    target, predicted, shares = multi_label(seed, 300, 6)
    found = metrics.figures("multi_label", "abcdef", target, predicted, shares)
    per_class = [figure.value for figure in metrics.f1_per_class(target, predicted)]
    assert found["subset_accuracy"].value == pytest.approx(accuracy_score(target, predicted), abs=1e-12)
    assert found["macro_f1"].value == pytest.approx(f1_score(target, predicted, average="macro"), abs=1e-12)
    assert found["auc"].value == pytest.approx(roc_auc_score(target, shares, average="macro"), abs=1e-12)
    assert per_class == pytest.approx(f1_score(target, predicted, average=None), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_equals_a_loop_over_bins(seed):
    target, predicted, probabilities = single_label(seed, 500, 3)
    right, confidence = target == predicted, probabilities.max(axis=1)
    total = 0.0
    for number in range(15):
        inside = (number / 15 < confidence) & (confidence <= (number + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.expected_calibration_error(right, confidence).value == pytest.approx(total, abs=1e-12)


def test_the_interval_of_auc_has_the_width_of_a_bootstrap():
    target, _, probabilities = single_label(5, 400, 2, decimals=6)
    figure = metrics.auc(np.eye(2, dtype=bool)[target], probabilities)
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(target == k) for k in (0, 1)]
    drawn = []
    for _ in range(400):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        drawn.append(roc_auc_score(target[rows], probabilities[rows, 1]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert figure.high - figure.low == pytest.approx(high - low, rel=0.15)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 7), (7, 7), (81, 263), (99_000, 100_000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_equals_scipy_and_statsmodels(k, n, confidence):
    interval = statistics.wilson(k, n, confidence)
    ours = (interval.low, interval.high)
    assert ours == pytest.approx(tuple(binomtest(k, n).proportion_ci(confidence, method="wilson")), abs=1e-12)
    assert ours == pytest.approx(proportion_confint(k, n, alpha=1 - confidence, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 7), (7, 7), (3, 268), (81, 263), (99_000, 100_000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_clopper_and_pearson_equal_scipy_and_statsmodels(k, n, confidence):
    interval = statistics.clopper_pearson(k, n, confidence)
    ours = (interval.low, interval.high)
    assert ours == pytest.approx(tuple(binomtest(k, n).proportion_ci(confidence, method="exact")), abs=1e-9)
    assert ours == pytest.approx(proportion_confint(k, n, alpha=1 - confidence, method="beta"), abs=1e-9)


@pytest.mark.parametrize(
    ("b", "c"), [(0, 0), (1, 0), (5, 5), (12, 8), (30, 20), (3, 40), (700, 800), (25_000, 25_400)]
)
def test_mcnemar_equals_scipy_and_statsmodels(b, c):
    ours = statistics.mcnemar_exact(b, c)
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert ours == pytest.approx(expected, abs=1e-12)
    if b + c:
        assert ours == pytest.approx(mcnemar([[100, b], [c, 100]], exact=True).pvalue, abs=1e-12)


@pytest.mark.parametrize(("b", "c"), [(1, 0), (4, 0), (12, 8), (30, 14), (30, 15), (200, 150)])
def test_tango_excludes_no_difference_exactly_where_mcnemars_score_test_does(b, c):
    p = mcnemar([[500, b], [c, 500]], exact=False, correction=False).pvalue
    for confidence in (1 - p - 1e-9, 1 - p + 1e-9):
        interval = statistics.tango(b, c, 1_000 + b + c, confidence)
        assert (0.0 in interval) == (confidence > 1 - p)


@pytest.mark.parametrize("discordance", [0.005, 0.02, 0.08])
@pytest.mark.parametrize(("margin", "drop"), [(0.005, 0.0), (0.01, 0.002), (0.005, -0.002)])
def test_pictures_needed_equals_statsmodels(discordance, margin, drop):
    deviation = discordance**0.5
    expected = normal_sample_size_one_tail(
        margin - drop, 0.8, 0.05, std_null=deviation, std_alternative=deviation
    )
    needed = statistics.pictures_needed(discordance, margin, drop)
    assert needed == max(np.ceil(expected), 598 if margin == 0.005 else 299)
