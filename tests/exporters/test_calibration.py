"""The choice of calibration pictures: balanced, repeatable, blind to order."""

from dataclasses import replace

import numpy as np
from exporter_factories import colours

from edgetl_exporters.calibration import balanced, calibration_pictures


def test_classes_are_taken_in_turns() -> None:
    keys = [f"{number:02}" for number in range(10)]
    groups = ["rare" if number == 9 else "common" for number in range(10)]
    assert balanced(keys, groups, 4) == [0, 1, 2, 9]


def test_all_are_taken_when_there_are_few() -> None:
    assert balanced(["b", "a"], [0, 0], 300) == [0, 1]


def test_the_order_of_the_pictures_does_not_change_which_are_chosen() -> None:
    train = colours(30, 1)
    order = np.random.default_rng(0).permutation(30)
    shuffled = replace(train, pixels=train.pixels[order], targets=train.targets[order])
    first, second = (calibration_pictures(some, 9) for some in (train, shuffled))
    assert {picture.tobytes() for picture in first} == {picture.tobytes() for picture in second}
    assert len(first) == 9
