"""Scores and comparisons: what replaces the best so far, and what does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgetl.scoring import Score, compare, fit_temperature, score
from edgetl.task import TASKS
from edgetl_runtime.statistics import mcnemar_exact

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]
ONES = np.ones(3, np.float32)


def honest(n: int, rules: str = "single_label") -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw logits, and targets from the very probabilities that these mean."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 3))
    p = TASKS[rules].probabilities(logits)
    if rules == "multi_label":
        return logits, (rng.random((n, 3)) < p).astype(np.float32)
    return logits, (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)


def scored(losses: list[float], correct: list[bool] | None = None) -> Score:
    right = np.array(correct if correct is not None else [True] * len(losses))
    return Score(float(np.mean(losses)), np.array(losses, np.float64), right, 1.0, float(right.mean()))


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_known_scaling(task: str, factor: float) -> None:
    logits, targets = honest(20_000, task)
    assert fit_temperature(logits * factor, targets, TASKS[task]) == pytest.approx(factor, rel=0.03)


def test_the_temperature_stays_in_its_bounds() -> None:
    targets = np.array([0, 1, 2])
    assert fit_temperature(np.eye(3), targets, SINGLE) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(-np.eye(3), targets, SINGLE) == pytest.approx(20, rel=1e-3)


def test_a_score_is_the_loss_at_that_temperature() -> None:
    logits, targets = honest(2_000)
    found = score(5 * logits, targets, SINGLE, ONES)
    assert found.losses == pytest.approx(SINGLE.log_losses(5 * logits / found.temperature, targets))
    assert found.loss == pytest.approx(found.losses.mean())
    assert found.loss == pytest.approx(score(logits, targets, SINGLE, ONES).loss, rel=1e-6)
    assert found.correct.tolist() == (logits.argmax(axis=1) == targets).tolist()
    assert found.accuracy == found.correct.mean()


def test_weights_of_classes_weigh_their_pictures() -> None:
    logits, targets = honest(500)
    weights = np.array([1, 2, 7], np.float32)
    found = score(logits, targets, SINGLE, weights)
    plain = SINGLE.log_losses(logits / found.temperature, targets)
    assert found.loss == pytest.approx(np.average(plain, weights=weights[targets]))
    assert found.losses.mean() == pytest.approx(found.loss)


def test_the_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there() -> None:
    logits = np.array([[9, 0, 0], [9, 0, 0], [9, 0, 0], [0, 9, 0]], np.float64)
    found = score(logits, np.array([0, 0, 0, 0]), SINGLE, ONES)
    assert found.balanced_accuracy == found.accuracy == 0.75
    found = score(logits, np.array([0, 0, 1, 1]), SINGLE, ONES)
    assert found.balanced_accuracy == pytest.approx((1 + 0.5) / 2)
    assert found.accuracy == 0.75
    multi = score(logits - 1, np.eye(3)[[0, 0, 0, 2]], MULTI, ONES)
    assert multi.balanced_accuracy == multi.accuracy == 0.75


def test_a_lower_loss_is_kept_and_the_gain_told() -> None:
    comparison = compare(scored([1.0, 2.0, 3.0]), scored([0.5, 1.7, 2.6]))
    assert comparison.keep
    assert comparison.gain == pytest.approx(0.4)
    assert comparison.error == pytest.approx(np.std([0.5, 0.3, 0.4]) / np.sqrt(3))
    assert comparison.reason == "loss on validation falls by 0.4000 ± 0.0471"


def test_a_higher_loss_is_not_kept() -> None:
    comparison = compare(scored([1.0, 2.0]), scored([1.5, 2.0]))
    assert not comparison.keep
    assert comparison.reason == "loss on validation rises by 0.2500 ± 0.1768"


def test_the_same_answers_are_not_kept() -> None:
    same = scored([1.0, 2.0])
    comparison = compare(same, same)
    assert not comparison.keep
    assert comparison.reason == "loss on validation rises by 0.0000 ± 0.0000"


def test_answers_that_get_worse_are_not_kept_whatever_the_loss() -> None:
    best = scored([1.0] * 20, [True] * 10 + [False] * 10)
    worse = scored([0.5] * 20, [False] * 7 + [True] * 3 + [False] * 9 + [True])
    comparison = compare(best, scored([0.5] * 20, [False] * 9 + [True] + [False] * 9 + [True]))
    assert not comparison.keep
    assert comparison.reason == "answers get worse: 9 lost, 1 won"
    assert mcnemar_exact(7, 1) > 0.05
    assert compare(best, worse).keep  # Seven lost and one won may be chance.


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_not_kept(loss: float) -> None:
    comparison = compare(scored([1.0, 2.0]), scored([0.1, loss]))
    assert not comparison.keep
    assert comparison.reason == "loss on validation is not a number"


PICTURES = st.lists(
    st.tuples(st.floats(0, 20), st.booleans(), st.floats(0, 20), st.booleans()), min_size=1, max_size=60
)


@settings(max_examples=200, deadline=None)
@given(PICTURES)
def test_of_two_models_at_most_one_replaces_the_other(
    pictures: list[tuple[float, bool, float, bool]],
) -> None:
    first = scored([one[0] for one in pictures], [one[1] for one in pictures])
    second = scored([one[2] for one in pictures], [one[3] for one in pictures])
    there, back = compare(first, second), compare(second, first)
    assert not (there.keep and back.keep)
    assert there.gain == -back.gain
    assert there.error == pytest.approx(back.error)
    assert there.keep <= (there.gain > 0)


@settings(max_examples=200, deadline=None)
@given(PICTURES)
def test_a_model_that_loses_no_picture_is_kept_exactly_when_its_loss_falls(
    pictures: list[tuple[float, bool, float, bool]],
) -> None:
    first = scored([one[0] for one in pictures], [one[1] for one in pictures])
    second = scored([one[2] for one in pictures], [one[1] or one[3] for one in pictures])
    assert compare(first, second).keep == (compare(first, second).gain > 0)
