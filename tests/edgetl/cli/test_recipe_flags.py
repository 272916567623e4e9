"""The flags of a training: every setting of a recipe has one, with its own words."""

import inspect
from dataclasses import fields
from typing import Any

from edgetl.cli.recipe_flags import with_recipe_flags
from edgetl.cli.settings import resolve_recipe
from edgetl.recipe import Recipe


@with_recipe_flags
def command(data: str, out: str, debug: bool = False, **settings: Any) -> None:
    """Do nothing."""


def flags() -> dict[str, str]:
    """Return the flag of each setting; typer keeps the first word of an annotation as its default."""
    found = inspect.signature(command).parameters
    return {
        name: one.annotation.__metadata__[0].default
        for name, one in found.items()
        if hasattr(one.annotation, "__metadata__")
    }


def test_every_setting_of_a_recipe_can_be_named_as_a_flag() -> None:
    assert set(flags()) == {field.name for field in fields(Recipe)}
    assert all(flag == f"--{name.replace('_', '-')}" for name, flag in flags().items() if "time" not in name)


def test_what_holds_a_training_back_can_be_switched_off() -> None:
    names = ("decay", "warmup", "ema", "dropout", "weight_decay", "l2_sp", "label_smoothing", "mixup")
    off = dict.fromkeys(names, 0.0) | {"decay": 1.0, "weight_decay": "0", "mixup": "0"}
    found = resolve_recipe(None, off)
    assert [getattr(found, name) for name in names] == [1.0, *[0.0] * 7]
