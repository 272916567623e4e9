"""Regularizers: what the number of pictures for each class switches on."""

import pytest

from edgetl.recipe import Recipe
from edgetl.regularizers import with_regularizers


@pytest.mark.parametrize(
    ("pictures", "classes", "smoothing", "l2_sp", "decay", "mixup"),
    [
        (38, 2, 0.0, 0.1, 0.0, 0.0),
        (40, 2, 0.1, 0.0, 0.01, 0.0),
        (19_999, 10, 0.1, 0.0, 0.01, 0.0),
        (20_000, 10, 0.1, 0.0, 0.01, 0.1),
        (20_000, 2_000, 0.0, 0.1, 0.0, 0.1),
    ],
)
def test_pictures_for_each_class_decide(
    pictures: int, classes: int, smoothing: float, l2_sp: float, decay: float, mixup: float
) -> None:
    found = with_regularizers(Recipe(), pictures, classes)
    assert (found.label_smoothing, found.l2_sp, found.weight_decay) == (smoothing, l2_sp, decay)
    assert (found.mixup, found.dropout, found.augment) == (mixup, 0.0, "none")


def test_what_is_named_is_left_as_it_is() -> None:
    given = Recipe(label_smoothing=0.2, l2_sp=0.3, weight_decay=0.4, mixup=0.5, augment="trivial")
    assert with_regularizers(given, 10, 2) == given


def test_decay_gives_way_to_a_pull_that_was_asked_for() -> None:
    assert with_regularizers(Recipe(l2_sp=0.5), 10_000, 2).weight_decay == 0
