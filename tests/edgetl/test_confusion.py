"""The confusion matrix: its counts, and names in any script."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix

from edgetl.confusion import confusion_counts, label_counts, write_confusion

TRUTH = np.random.default_rng(0).integers(0, 4, 200)
DECIDED = np.where(np.arange(200) % 3 == 0, (TRUTH + 1) % 4, TRUTH)


def test_rows_are_true_classes_and_columns_answers() -> None:
    assert np.array_equal(confusion_counts(TRUTH, DECIDED, 4), confusion_matrix(TRUTH, DECIDED))


def test_a_class_that_nobody_answered_has_its_place() -> None:
    assert confusion_counts(np.array([2, 2]), np.array([0, 2]), 3).tolist() == [[0] * 3, [0] * 3, [1, 0, 1]]


def test_labels_are_found_missed_or_wrongly_given() -> None:
    truth = np.array([[1, 0], [1, 1], [0, 0]], bool)
    decided = np.array([[1, 1], [0, 1], [0, 1]], bool)
    assert label_counts(truth, decided).tolist() == [[1, 1, 0], [1, 0, 2]]


def texts(path: Path) -> list[str]:
    root = ET.parse(path).getroot()
    return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_names_in_any_script_are_text_and_counts_stand_in_their_cells(tmp_path: Path) -> None:
    classes = ["rot & <weiß>", "青 い", "$x_1$", "b"]
    write_confusion(tmp_path / "c.svg", classes, TRUTH, DECIDED)
    found = texts(tmp_path / "c.svg")
    assert {"rot & <weiß>", "青 い", "b", "200 verifying pictures"} <= set(found)
    assert str(confusion_matrix(TRUTH, DECIDED)[0, 0]) in found


def test_many_classes_are_drawn_without_names(tmp_path: Path) -> None:
    numbers = np.arange(40)
    write_confusion(tmp_path / "c.svg", [f"c{n}" for n in numbers], numbers, numbers)
    assert "c7" not in texts(tmp_path / "c.svg")


def test_several_labels_and_repeated_bytes(tmp_path: Path) -> None:
    truth = np.array([[1, 0], [1, 1]], bool)
    for name in ("one.svg", "two.svg"):
        write_confusion(tmp_path / name, ["a", "b"], truth, ~truth)
    assert "wrongly given" in texts(tmp_path / "one.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
