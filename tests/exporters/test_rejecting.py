"""A threshold of confidence keeps its promise, or is refused with what it takes."""

import numpy as np
import pytest
from scipy.stats import beta

from edgetl_exporters.measure import Judged, judge
from edgetl_exporters.rejecting import judge_rejecting, promises, threshold
from edgetl_runtime import ContractError


def judged(confidence: list[float], right: list[bool]) -> Judged:
    """Answers of a model of two classes with these confidences in its answer."""
    odds = np.log(np.array(confidence) / (1 - np.array(confidence)))
    logits = np.stack([odds, np.zeros(len(odds))], axis=1).astype(np.float32)
    return judge("single_label", logits, np.array([0 if one else 1 for one in right]), 1.0)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (59, 59), (90, 100), (3, 40), (1999, 2000)])
def test_what_is_promised_ends_at_the_bound_of_clopper_and_pearson(k: int, n: int) -> None:
    bound = beta.ppf(0.05, k, n - k + 1)
    assert promises(k, n, bound - 1e-9)
    assert not promises(k, n, bound + 1e-9)


def test_nothing_right_promises_nothing() -> None:
    assert not promises(0, 10, 1e-9)


def test_the_lowest_threshold_that_keeps_the_promise_is_found() -> None:
    confidence = [0.95] * 60 + [0.8] * 60 + [0.6] * 60
    right = [True] * 60 + [True] * 60 + [False] * 30 + [True] * 30
    assert threshold(judged(confidence, right), 0.95) == pytest.approx(0.8, abs=2e-6)
    assert threshold(judged(confidence, right), 0.7) == pytest.approx(0.6, abs=2e-6)


def test_answers_of_one_confidence_stand_or_fall_together() -> None:
    right = [True] * 60 + [False] * 60
    with pytest.raises(ContractError, match=r"precision of 0\.95 on the 120 .* at least 59 "):
        threshold(judged([0.9] * 120, right), 0.95)


def test_what_a_threshold_is_worth_is_counted_on_other_pictures() -> None:
    found = judge_rejecting(judged([0.9, 0.9, 0.9, 0.5], [True, True, False, True]), 0.8, 0.99)
    assert (found.n, found.answered, found.right) == (4, 3, 2)
    assert found.precision is not None
    assert found.precision.low < 2 / 3 < found.precision.high
    assert judge_rejecting(judged([0.6], [True]), 0.8, 0.99).precision is None


def test_a_promise_is_broken_only_where_the_whole_interval_is_below_it() -> None:
    answers = judged([0.9] * 100, [True] * 80 + [False] * 20)
    broken, undecided = judge_rejecting(answers, 0.8, 0.95), judge_rejecting(answers, 0.8, 0.8)
    kept = judge_rejecting(answers, 0.8, 0.7)
    assert broken.against == (
        "80 of 100 answers are right, a precision of at most 0.8666 where 0.95 is promised"
    )
    assert (undecided.against, kept.against) == ("", "")
    assert [one.certified for one in (broken, undecided, kept)] == [False, False, True]


def test_a_threshold_that_answers_nothing_is_broken() -> None:
    found = judge_rejecting(judged([0.6, 0.7], [True, True]), 0.8, 0.9)
    assert found.against == "no picture of 2 is answered with a confidence of 0.8"
    assert not found.certified
