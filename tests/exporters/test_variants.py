"""Tolerances: as wide as engines differ, never so wide that cases could be mistaken for one another."""

import numpy as np
import pytest

from edgetl_exporters.variants import ordered, tolerance
from edgetl_runtime import InputError

CASES = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], np.float32)
REAL = np.array([[-5, 5]], np.float32)


def test_it_is_four_times_the_difference_of_two_engines() -> None:
    assert tolerance("onnx-int8", CASES, CASES + np.float32(0.25), REAL) == 1.0


def test_engines_that_agree_get_the_floor() -> None:
    assert tolerance("onnx-int8", CASES, CASES, REAL) == pytest.approx(0.2)
    assert tolerance("onnx-fp32", CASES, CASES, REAL) == pytest.approx(0.01)


def test_it_never_hides_a_device_that_mistakes_one_case_for_another() -> None:
    assert tolerance("onnx-int8", CASES, CASES + np.float32(50), REAL) == 5.0


def test_variants_come_in_order_of_preference() -> None:
    assert ordered(["onnx-fp32", "openvino-int8"]) == ("openvino-int8", "onnx-fp32")
    with pytest.raises(InputError, match="variants must be some of"):
        ordered([])
