"""The gap between training and validation: its interval, and when it is named overfitting."""

import numpy as np
import pytest
from edgetl_factories import rows_of
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep
from test_loop import step_data, tail

from edgetl.gap import make_gap, measure_gap
from edgetl.tail import choosing_score, evaluate


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_the_interval_is_newcombes(counts: tuple[int, int, int]) -> None:
    n, train, validation = counts
    found = make_gap(train, validation, n)
    low, high = confint_proportions_2indep(train, n, validation, n, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("train", "validation", "n", "overfits"),
    [(100, 80, 100, True), (100, 85, 100, False), (1_000, 890, 1_000, False), (1_000, 870, 1_000, True)],
)
def test_a_gap_is_overfitting_when_its_whole_interval_is_above_ten_points(
    train: int, validation: int, n: int, overfits: bool
) -> None:
    assert make_gap(train, validation, n).overfits is overfits


@pytest.mark.parametrize(
    ("of_head", "remedies"),
    [(False, ", --augment trivial, --dropout or fewer stages"), (True, " or --augment trivial")],
)
def test_a_gap_is_said_in_words_with_what_may_help(of_head: bool, remedies: str) -> None:
    assert make_gap(100, 70, 100).sentence(of_head) == (
        "overfitting: accuracy 1.000 on training pictures, 0.700 on validation, a gap of 0.211 to 0.396. "
        f"More pictures{remedies} may help."
    )


def test_as_many_pictures_are_compared_on_either_side() -> None:
    few, many = step_data(12), step_data(400)
    assert measure_gap(tail(), few, choosing_score(tail(), few), 0).n == 12
    assert measure_gap(tail(), many, choosing_score(tail(), many), 0).n == 20


def test_the_training_side_is_measured_on_training_pictures_as_they_are() -> None:
    data = step_data(20)
    data.train[1].array[:] = np.nan  # Another view, which must not be looked at.
    plain = evaluate(tail(), rows_of(data.train[0].array.astype(np.float32)), data.targets, data)
    assert measure_gap(tail(), data, choosing_score(tail(), data), 3).train == plain.accuracy
