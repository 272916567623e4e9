"""Tasks: losses and probabilities are those of torch and scikit-learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from edgetl.task import TASKS, class_weights

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]
WEIGHTS = np.array([0.5, 1.0, 2.5], np.float32)


def logits(n: int = 40, classes: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 3, (n, classes)).astype(np.float32)


def numbers(n: int = 40) -> NDArray[np.int64]:
    return np.random.default_rng(2).integers(0, 3, n)


def labels(n: int = 40) -> NDArray[np.float32]:
    return np.random.default_rng(3).integers(0, 2, (n, 3)).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_single_labels_is_the_weighted_cross_entropy(smoothing: float) -> None:
    log_p = torch.log_softmax(torch.from_numpy(logits()), dim=1).numpy()
    targets = numbers()
    soft = np.eye(3)[targets] * (1 - smoothing) + smoothing / 3
    expected = -(soft * WEIGHTS * log_p).sum() / WEIGHTS[targets].sum()
    found = SINGLE.loss(
        torch.from_numpy(logits()), torch.from_numpy(targets), torch.from_numpy(WEIGHTS), smoothing
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_several_labels_weighs_what_is_there(smoothing: float) -> None:
    p = 1 / (1 + np.exp(-logits().astype(np.float64)))
    soft = labels() * (1 - smoothing) + smoothing / 2
    expected = -(WEIGHTS * soft * np.log(p) + (1 - soft) * np.log(1 - p)).mean()
    found = MULTI.loss(
        torch.from_numpy(logits()), torch.from_numpy(labels()), torch.from_numpy(WEIGHTS), smoothing
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_log_losses_are_those_of_torch_and_sklearn() -> None:
    single = SINGLE.log_losses(logits(), numbers())
    of_torch = functional.cross_entropy(
        torch.from_numpy(logits()), torch.from_numpy(numbers()), reduction="none"
    )
    assert np.allclose(single, of_torch.numpy(), atol=1e-5)
    assert single.mean() == pytest.approx(log_loss(numbers(), SINGLE.probabilities(logits())), rel=1e-5)
    multi = MULTI.log_losses(logits(), labels())
    of_torch = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits()), torch.from_numpy(labels()), reduction="none"
    )
    assert np.allclose(multi, of_torch.numpy().mean(axis=1), atol=1e-5)
    p = MULTI.probabilities(logits())
    by_label = [log_loss(labels()[:, n], p[:, n]) for n in range(3)]
    assert multi.mean() == pytest.approx(np.mean(by_label), rel=1e-5)


def test_huge_logits_have_finite_losses() -> None:
    huge = np.array([[1e4, -1e4, 0]], np.float32)
    assert SINGLE.log_losses(huge, np.array([1])).tolist() == [20_000]
    assert MULTI.log_losses(huge, np.array([[0, 1, 0]])).tolist() == [pytest.approx((2e4 + np.log(2)) / 3)]


def test_probabilities_are_those_of_torch() -> None:
    given = torch.from_numpy(logits())
    assert np.allclose(SINGLE.probabilities(logits()), given.softmax(1).numpy(), atol=1e-6)
    assert np.allclose(MULTI.probabilities(logits()), given.sigmoid().numpy(), atol=1e-6)


def test_a_single_label_is_the_largest_logit() -> None:
    given, targets = np.array([[1, 3, 2], [5, 0, 0], [0, 1, 2]]), np.array([1, 0, 0])
    assert SINGLE.decide(given).tolist() == [1, 0, 2]
    assert SINGLE.correct(given, targets).tolist() == [True, True, False]
    assert SINGLE.hard(targets).tolist() == [1, 0, 0]
    assert SINGLE.counts(targets, 4).tolist() == [2, 1, 0, 0]
    assert SINGLE.picture_weights(targets, WEIGHTS).tolist() == [1.0, 0.5, 0.5]


def test_several_labels_are_right_when_all_are() -> None:
    given = np.array([[1, -1, 0], [1, -1, -1]])
    targets = np.array([[1, 0, 1], [1, 0, 1]], np.float32)
    assert MULTI.decide(given).tolist() == [[True, False, True], [True, False, False]]
    assert MULTI.correct(given, targets).tolist() == [True, False]
    assert MULTI.hard(targets).dtype == bool
    assert MULTI.counts(targets, 3).tolist() == [2, 0, 2]
    assert MULTI.picture_weights(targets, WEIGHTS).tolist() == [1, 1]


def test_balanced_weights_let_each_class_count_the_same() -> None:
    counts = np.array([10.0, 30.0, 60.0])
    weights = class_weights(counts, "balanced")
    assert weights.dtype == np.float32
    assert np.allclose(weights * counts, 100 / 3)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)


def test_auto_balances_once_the_largest_class_has_half_as_many_again() -> None:
    assert class_weights(np.array([20.0, 30.0]), "auto").tolist() == [1, 1]
    assert class_weights(np.array([20.0, 31.0]), "auto").tolist() == pytest.approx([51 / 40, 51 / 62])


def test_no_weights_are_ones() -> None:
    assert class_weights(np.array([1.0, 1000.0]), "none").tolist() == [1, 1]
