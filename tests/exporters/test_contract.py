"""The decision alone: which answers pass, are certified, or need more pictures."""

from typing import Any

import numpy as np
import pytest

from edgetl_exporters.contract import compare
from edgetl_exporters.measure import Judged, judge
from edgetl_runtime.metrics import Figure


def judged(correct: Any, targets: Any = None, balanced: float | None = None) -> Judged:
    right = np.asarray(correct, bool)
    share = float(right.mean())
    truth = np.zeros(len(right), int) if targets is None else np.asarray(targets)
    logits = np.zeros((len(right), 2), np.float32)
    figure = Figure("accuracy", share, 0, 1, len(right))
    return Judged(logits, 1.0, right, right, figure, balanced, 0.0, truth)


def answers(n: int, wrong: range) -> list[bool]:
    return [number not in wrong for number in range(n)]


def test_the_same_answers_pass_and_are_certified_once_there_are_enough() -> None:
    few, many = judged(answers(100, range(10))), judged(answers(2000, range(100)))
    assert compare(few, few, 0.01).passes
    assert not compare(few, few, 0.01).certified
    assert compare(few, few, 0.01).needs == 299
    assert compare(many, many, 0.01).certified
    assert compare(many, many, 0.01).needs is None


def test_a_drop_above_the_limit_is_refused_with_the_numbers() -> None:
    found = compare(judged(answers(200, range(0))), judged(answers(200, range(3))), 0.01)
    assert found.against == ("accuracy drops by 1.5 points, 1.0 allowed",)
    assert (found.lost, found.gained, found.drop) == (3, 0, 0.015)


def test_a_drop_within_the_limit_that_is_no_accident_is_refused() -> None:
    found = compare(judged(answers(1000, range(0))), judged(answers(1000, range(9))), 0.01)
    assert found.against == ("9 answers lost and 0 gained are no accident",)


def test_a_sure_but_small_drop_is_certified_by_many_pictures() -> None:
    found = compare(judged(answers(20_000, range(0))), judged(answers(20_000, range(40))), 0.01)
    assert found.passes
    assert found.certified


def test_a_coin_toss_that_keeps_the_accuracy_of_the_largest_class_is_refused() -> None:
    targets = np.array([0] * 900 + [1] * 100)
    logits = np.where(targets[:, None] == np.arange(2), 1.0, 0.0).astype(np.float32)
    logits[np.arange(0, 900, 9)] = [
        0,
        1,
    ]  # The float model is right in both classes, 10 % wrong in the first.
    constant = np.tile(np.array([1, 0], np.float32), (1000, 1))
    float_model, candidate = (judge("single_label", rows, targets, 1.0) for rows in (logits, constant))
    found = compare(float_model, candidate, 0.01)
    assert found.drop == 0
    assert not found.passes
    assert found.against[0].startswith("balanced accuracy drops by at least 4")


def test_a_gain_passes() -> None:
    found = compare(judged(answers(200, range(20))), judged(answers(200, range(10))), 0.01)
    assert found.passes
    assert found.drop == -0.05
    assert found.certified


@pytest.mark.parametrize("limit", [0.005, 0.01, 0.02])
def test_fewer_points_allowed_need_more_pictures(limit: float) -> None:
    found = compare(judged(answers(200, range(4))), judged(answers(200, range(2, 6))), limit)
    assert found.needs is not None
    assert found.needs == pytest.approx(0.02 * 6.1826 / limit**2, rel=0.01)
