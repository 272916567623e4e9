import numpy as np
import pytest

from edgetl_runtime.confidence import answer_figures, calibration_before_temperature, without_temperature
from edgetl_runtime.metrics import expected_calibration_error


def figures_of(right, shares, temperature, reject_below):
    untempered = np.array([without_temperature(row, temperature) for row in shares])
    error = calibration_before_temperature(right, untempered)
    return {error.name: error} | answer_figures(right, shares.max(axis=1).astype(np.float64), reject_below)


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
    found = figures_of(right, shares, temperature, None)
    assert list(found) == ["calibration_error_before_temperature"]
    assert found["calibration_error_before_temperature"].value == pytest.approx(expected.value, abs=1e-4)


def test_a_threshold_tells_how_many_are_answered_and_how_many_of_them_are_right():
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], np.float32)
    found = figures_of(np.array([True, False, True, True]), shares, 1.0, 0.65)
    answered, precision = found["answered"], found["precision_of_answers"]
    assert (answered.value, answered.n) == (0.75, 4)
    assert (precision.value, precision.n) == (pytest.approx(2 / 3), 3)
    assert precision.low < precision.value < precision.high


def test_a_threshold_that_answers_nothing_has_no_precision():
    found = figures_of(np.array([True]), np.array([[0.6, 0.4]], np.float32), 1.0, 0.9)
    assert (found["answered"].value, "precision_of_answers" in found) == (0.0, False)


def test_certainty_is_finite():
    shares = np.array([[1.0, 0.0, 0.0]], np.float32)
    assert figures_of(np.array([True]), shares, 2.0, None)[
        "calibration_error_before_temperature"
    ].value == pytest.approx(0.0)
