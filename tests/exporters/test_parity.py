"""Parity: the same answers but for ties, and logits within rounding."""

import numpy as np
import pytest
from exporter_factories import tiny_model

from edgetl_exporters.parity import check_parity
from edgetl_runtime import ContractError

WANTED = np.array([[5.0, -5.0, 0.0], [1.0, 1.0004, -2.0], [0.0, 3.0, 1.0]], np.float32)


def changed(place: tuple[int, int], by: float) -> np.ndarray:
    logits = WANTED.copy()
    logits[place] += by
    return logits


def test_the_largest_difference_of_each_file_is_told() -> None:
    found = check_parity(tiny_model(), WANTED, {"one": changed((0, 0), 0.01), "other": WANTED})
    assert found == {"one": pytest.approx(0.01, abs=1e-6), "other": 0.0}


def test_an_answer_that_rounding_decides_may_be_the_other_one() -> None:
    tie = changed((1, 0), 0.0008)
    assert tie.argmax(axis=1).tolist() != WANTED.argmax(axis=1).tolist()
    assert check_parity(tiny_model(), WANTED, {"onnx": tie})["onnx"] == pytest.approx(0.0008, abs=1e-6)


def test_another_answer_that_is_no_tie_is_refused_though_logits_are_near() -> None:
    wanted = WANTED.copy()
    wanted[1, 1] = 1.01
    near = wanted.copy()
    near[1, :2] = 1.0055, 1.0045
    with pytest.raises(ContractError, match=r"answers 2 of 3 pictures alike, its logits are off by 0\.0055"):
        check_parity(tiny_model(), wanted, {"onnx": near})


def test_logits_that_differ_by_more_than_rounding_are_refused_though_answers_are_the_same() -> None:
    with pytest.raises(ContractError, match=r"answers 3 of 3 pictures alike, its logits are off by 0\.03"):
        check_parity(tiny_model(), WANTED, {"onnx": changed((0, 0), 0.03)})


def test_labels_of_several_are_compared_one_by_one() -> None:
    wanted = np.array([[0.0004, -3.0, 5.0], [-5.0, 2.0, 0.01]], np.float32)
    model = tiny_model(task="multi_label")
    tie, other = wanted.copy(), wanted.copy()
    tie[0, 0], other[1, 2] = -0.0004, -0.005
    assert list(check_parity(model, wanted, {"onnx": tie})) == ["onnx"]
    with pytest.raises(ContractError, match="answers 1 of 2 pictures alike"):
        check_parity(model, wanted, {"onnx": other})
