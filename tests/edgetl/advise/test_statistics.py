"""The closed forms against their slow definitions, and what they say where there is nothing to find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from edgetl.advise import neighbours, ridge
from edgetl.advise.logme import logme
from edgetl.advise.neighbours import nearest_others, votes
from edgetl.advise.ridge import PENALTIES, Ridge
from edgetl.advise.spectrum import spectrum


def blobs(n: int, width: int, classes: int, apart: float, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Make features around a centre for each class, and one-hot targets."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = rng.normal(size=(n, width)) + apart * rng.normal(size=(classes, width))[labels]
    return features, np.eye(classes)[labels]


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (12, 12)])
def test_the_spectrum_rebuilds_the_gram_matrix(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    found = spectrum(x)
    assert np.allclose((found.basis * found.squares) @ found.basis.T, x @ x.T)
    assert np.allclose(found.basis.T @ found.basis, np.eye(len(found.squares)))


def test_the_spectrum_drops_what_has_no_rank() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3)) @ np.ones((3, 9))
    assert len(spectrum(x).squares) == 1
    assert len(spectrum(np.zeros((4, 3))).squares) == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(4, 25), st.integers(1, 30), st.integers(2, 4), st.sampled_from(PENALTIES))
def test_ridge_left_out_values_are_those_of_fits_without_the_picture(
    n: int, width: int, classes: int, penalty: float
) -> None:
    features, targets = blobs(n, width, classes, 1.0)
    found = Ridge(features)
    scaled = (features - features.mean(axis=0)) / found.scale
    slow = np.empty_like(targets)
    for left in range(n):
        others = np.arange(n) != left
        fit = SklearnRidge(alpha=penalty * n).fit(scaled[others], targets[others])
        slow[left] = fit.predict(scaled[left : left + 1])
    assert np.allclose(found.loo_values(targets, penalty), slow, atol=1e-6)


def test_ridge_takes_the_penalty_with_the_least_error() -> None:
    features, targets = blobs(60, 40, 3, 0.3)
    found = Ridge(features)
    errors = [np.square(found.loo_values(targets, penalty) - targets).sum() for penalty in PENALTIES]
    assert np.square(found.best_values(targets) - targets).sum() == min(errors)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_features_that_say_nothing_are_right_as_often_as_chance(classes: int) -> None:
    found = []
    for seed in range(20):
        features, targets = blobs(60, 30, classes, 0.0, seed)
        values = Ridge(features).best_values(targets)
        found.append(ridge.decide(values, targets, several=False).mean())
    error = np.sqrt((classes - 1) / classes**2 / (60 * 20))
    assert abs(np.mean(found) - 1 / classes) < 4 * error


def test_neighbours_vote_as_scikit_learn_does() -> None:
    features, targets = blobs(200, 6, 4, 0.8)
    labels = targets.argmax(axis=1)
    model = KNeighborsClassifier(10, metric="cosine", algorithm="brute")
    expected = cross_val_predict(model, features, labels, cv=LeaveOneOut())
    found = votes(nearest_others(features), targets)
    assert np.array_equal(found.argmax(axis=1), expected)
    assert np.array_equal(neighbours.decide(found, targets, several=False), expected == labels)


def test_few_pictures_have_few_neighbours() -> None:
    assert nearest_others(np.eye(3)).shape == (3, 2)
    assert all(n not in row for n, row in enumerate(nearest_others(np.eye(3))))


def test_logme_is_the_maximum_of_the_evidence() -> None:
    features, targets = blobs(40, 5, 2, 1.0)
    for x in (features, np.hstack([features, features[:, :2]])):  # The second has not full rank.

        def slow(target: NDArray, x: NDArray = x) -> float:
            def negative(logs: NDArray) -> float:
                alpha, beta = np.exp(logs)
                covariance = np.eye(40) / beta + x @ x.T / alpha
                return -multivariate_normal.logpdf(target, np.zeros(40), covariance) / 40

            return -minimize(negative, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6}).fun

        expected = np.mean([slow(targets[:, one]) for one in range(2)])
        assert logme(x, targets) == pytest.approx(expected, abs=1e-5)


def test_logme_prefers_features_that_tell_classes_apart() -> None:
    (good, targets), (bad, _) = blobs(100, 8, 3, 2.0), blobs(100, 8, 3, 0.0)
    assert logme(good, targets) > logme(bad, targets) + 0.1


def test_shuffled_labels_have_no_signal_and_true_ones_have() -> None:
    features, targets = blobs(120, 20, 3, 1.0)
    assert Ridge(features).signal_p_value(targets) == 1 / 200
    shuffled = [np.random.default_rng(seed).permutation(targets) for seed in range(40)]
    p_values = [Ridge(features).signal_p_value(one, shuffles=49) for one in shuffled]
    assert sum(p <= 0.02 for p in p_values) <= 3  # 0.8 are expected of 40, more than 3 in 1 of 100 tries.
    assert 0.3 < np.mean(p_values) < 0.7


def test_signal_is_found_in_a_rare_class() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(200) < 10).astype(int)
    features = rng.normal(size=(200, 10)) + 1.5 * labels[:, None]
    assert Ridge(features).signal_p_value(np.eye(2)[labels]) == 1 / 200


def test_several_labels_must_all_be_right() -> None:
    targets = np.array([[1.0, 0.0], [1.0, 1.0]])
    values = np.array([[0.9, 0.2], [0.9, 0.4]])
    assert ridge.decide(values, targets, several=True).tolist() == [True, False]
    assert neighbours.decide(values, targets, several=True).tolist() == [True, False]


def test_rare_classes_are_judged_above_their_share() -> None:
    targets = np.eye(2)[[0] * 9 + [1]]
    values = np.tile([0.9, 0.1], (10, 1))
    values[9] = (0.7, 0.3)
    assert ridge.decide(values, targets, several=False)[9]
