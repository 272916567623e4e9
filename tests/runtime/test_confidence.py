import numpy as np
import pytest

from edgetl_runtime.confidence import threshold_figures, untempered_figures
from edgetl_runtime.metrics import expected_calibration_error


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_error_before_the_temperature_is_that_of_the_logits_themselves(temperature):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 4, (500, 5))
    right = generator.random(500) < 0.7
    shares = softmax(logits / temperature).astype(np.float32)
    expected = expected_calibration_error(right, softmax(logits).max(axis=1))
    found = untempered_figures(right, shares, temperature)
    assert list(found) == ["calibration_error_before_temperature"]
    assert found["calibration_error_before_temperature"].value == pytest.approx(expected.value, abs=1e-4)


def test_a_threshold_tells_how_many_are_answered_and_how_many_of_them_are_right():
    confidence = np.array([0.9, 0.8, 0.6, 0.7])
    found = threshold_figures(np.array([True, False, True, True]), confidence, 0.65)
    answered, precision = found["answered"], found["precision_of_answers"]
    assert (answered.value, answered.n) == (0.75, 4)
    assert (precision.value, precision.n) == (pytest.approx(2 / 3), 3)
    assert precision.low < precision.value < precision.high


def test_a_threshold_that_answers_nothing_has_no_precision():
    found = threshold_figures(np.array([True]), np.array([0.6]), 0.9)
    assert (found["answered"].value, "precision_of_answers" in found) == (0.0, False)


def test_certainty_is_finite():
    shares = np.array([[1.0, 0.0, 0.0]], np.float32)
    (found,) = untempered_figures(np.array([True]), shares, 2.0).values()
    assert found.value == pytest.approx(0.0)


def test_without_a_threshold_there_is_nothing_to_tell():
    assert threshold_figures(np.array([True]), np.array([0.6]), None) == {}
