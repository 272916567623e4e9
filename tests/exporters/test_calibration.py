"""The choice of calibration pictures: balanced, repeatable, blind to order."""

from dataclasses import replace

import numpy as np
from exporter_factories import colours

from edgetl_exporters.calibration import balanced, calibration_pictures, part, proportional
from edgetl_exporters.model import Labelled


def test_classes_are_taken_in_turns() -> None:
    keys = [f"{number:02}" for number in range(10)]
    groups = ["rare" if number == 9 else "common" for number in range(10)]
    assert balanced(keys, groups, 4) == [0, 1, 2, 9]


def test_groups_keep_their_shares_and_none_is_lost() -> None:
    keys = [f"{number:02}" for number in range(20)]
    groups = ["rare" if number == 19 else "some" if number >= 13 else "common" for number in range(20)]
    chosen = proportional(keys, groups, 7)
    assert [groups[place] for place in chosen].count("rare") == 1
    assert [groups[place] for place in chosen].count("some") == 2
    assert [groups[place] for place in chosen].count("common") == 4
    assert proportional(keys, groups, 99) == list(range(20))


def test_pictures_with_names_are_chosen_by_them() -> None:
    train = colours(6, 1)
    names = tuple(f"{6 - number:064x}" for number in range(6))
    assert np.array_equal(calibration_pictures(replace(train, sha256=names), 3), train.pixels[3:])


def test_all_are_taken_when_there_are_few() -> None:
    assert balanced(["b", "a"], [0, 0], 300) == [0, 1]


def test_the_order_of_the_pictures_does_not_change_which_are_chosen() -> None:
    train = colours(30, 1)
    order = np.random.default_rng(0).permutation(30)
    shuffled = replace(train, pixels=train.pixels[order], targets=train.targets[order])
    first, second = (calibration_pictures(some, 9) for some in (train, shuffled))
    assert {picture.tobytes() for picture in first} == {picture.tobytes() for picture in second}
    assert len(first) == 9


def three_hundred(size: int) -> Labelled:
    pixels = np.random.default_rng(0).integers(0, 256, (300, size, size, 3), dtype=np.uint8)
    return Labelled(pixels, np.repeat([0, 1, 2], 100), tuple(f"{number:064x}" for number in range(300)))


def test_of_smaller_pictures_as_many_more_are_taken_as_cost_the_same_time() -> None:
    assert len(part(three_hundred(112), 0.05, 64)[1]) == 4 * 64
    assert len(part(three_hundred(448), 0.05, 64)[1]) == 64


def test_a_part_has_a_share_of_each_class_and_allows_one_lost_answer() -> None:
    many = three_hundred(224)
    pixels = many.pixels
    for limit, count in ((0.05, 64), (0.01, 100), (0.005, 200), (0.001, 300)):
        places, few = part(many, limit, 64)
        assert len(places) == len(few) == count
        assert min(np.bincount(few.targets)) >= count // 3
        assert np.array_equal(few.pixels, pixels[places])
        assert few.sha256 == tuple(f"{place:064x}" for place in places)
