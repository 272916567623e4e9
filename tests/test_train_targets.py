"""What training must reach beside its peers is read off the cells, whoever is better."""

import pytest

from benchmarks.cells import Cell
from benchmarks.train_targets import rows

PICTURES = [f"{number:03d}.png" for number in range(200)]
TARGETS = "01" * 100


def cell(method: str, wrong: int, seconds: float) -> Cell:
    """Answer all but the first pictures rightly, of a set of more than two classes."""
    answers = "2" * wrong + TARGETS[wrong:]
    machine = {"cores": 2, "load": 0.1}
    return Cell("fashion-1000", 0, method, seconds, seconds, PICTURES, TARGETS, answers, [], machine)


def told(*cells: Cell) -> dict[str, tuple[float | None, str]]:
    found = rows({"fashion-1000": {one.method: [one] for one in cells}})
    return {row.what.removeprefix("fashion-1000: "): (row.value, row.outcome) for row in found}


def test_better_and_ten_times_sooner_meets_all() -> None:
    found = told(cell("ours-head", 20, 10), cell("ours", 5, 90), cell("fastai", 30, 200))
    assert found["times sooner at fastai's accuracy"] == (20.0, "met")
    assert found["tuned less head alone"] == (7.5, "met")
    assert found["accuracy, ours less fastai, lower end"][1] == "met"


def test_a_head_that_is_worse_than_the_peer_leaves_the_tuned_model_s_time() -> None:
    found = told(cell("ours-head", 40, 10), cell("ours", 20, 90), cell("fastai", 30, 200))
    assert found["times sooner at fastai's accuracy"] == (2.2, "missed")


def test_a_peer_that_is_never_reached_is_no_met_target() -> None:
    found = told(cell("ours-head", 40, 10), cell("ours", 39, 90), cell("fastai", 10, 200))
    assert found["times sooner at fastai's accuracy"] == (0.0, "missed")
    assert found["accuracy, ours less fastai, lower end"][1] == "missed"
    assert found["tuned less head alone"] == (0.5, "missed")


def test_the_best_peer_is_the_one_to_beat_and_the_time_of_each_counts() -> None:
    peers = cell("fastai", 30, 100), cell("torchvision", 3, 900)
    found = told(cell("ours-head", 20, 10), cell("ours", 2, 90), *peers)
    assert "accuracy, ours less torchvision, lower end" in found
    assert found["times sooner at fastai's accuracy"][0] == 10
    assert found["times sooner at torchvision's accuracy"][0] == 10


@pytest.mark.parametrize("method", ["ours", "fastai"])
def test_one_method_alone_has_nothing_to_reach(method: str) -> None:
    assert told(cell(method, 3, 10)) == {}
