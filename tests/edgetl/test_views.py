"""Copies of a training picture: the same whenever they are made, and cached under their own names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from edgetl_factories import colour_picture, tiny_backbone

from edgetl.features import VIEWS, Extractor
from edgetl.recipe import Recipe
from edgetl.views import TrivialView, training_views

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)


def test_a_copy_depends_on_its_picture_and_number_alone() -> None:
    view = TrivialView("trivial1", 1)
    together, state = view(PICTURES), torch.get_rng_state()
    torch.manual_seed(99)
    alone = np.concatenate([view(PICTURES[n : n + 1]) for n in reversed(range(5))])[::-1]
    assert np.array_equal(together, alone)
    torch.set_rng_state(state)


def test_the_generator_of_others_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    TrivialView("trivial0", 0)(PICTURES)
    assert torch.equal(torch.rand(1), expected)


def test_pictures_are_changed_each_in_its_own_way_and_keep_their_form() -> None:
    same = np.repeat(PICTURES[:1], 3, axis=0)
    copies = [TrivialView(f"trivial{number}", number)(PICTURES) for number in range(4)]
    assert all(copy.shape == PICTURES.shape and copy.dtype == np.uint8 for copy in copies)
    assert all(not np.array_equal(a, b) for n, a in enumerate(copies) for b in copies[:n])
    assert len(np.unique(TrivialView("trivial0", 0)(same), axis=0)) == 1


@pytest.mark.parametrize(("augment", "count"), [("auto", 2), ("none", 2), ("trivial", 6)])
def test_a_recipe_names_its_copies_the_plain_one_first(augment: str, count: int) -> None:
    found = training_views(Recipe(views="hflip", augment=augment))
    assert found[:2] == VIEWS["hflip"]
    assert len(found) == count
    assert len(set(found)) == count


def test_each_copy_has_rows_of_its_own(tmp_path: Path) -> None:
    picture = colour_picture(tmp_path / "a.png", "red", 1)
    backbone = tiny_backbone()
    extract = Extractor(backbone, backbone.native.preprocess(), (1,), "f32")
    views = training_views(Recipe(views="none", augment="trivial"))
    rows = [view[0] for view in (one.take(np.arange(1)) for one in extract([picture], views).features)]
    assert len({row.tobytes() for row in rows}) > 1
    again = extract([picture], tuple(reversed(views))).features
    assert all(np.array_equal(a, b.take(np.arange(1))[0]) for a, b in zip(rows, reversed(again), strict=True))
