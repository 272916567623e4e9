"""From a recipe's file and flags to a `Recipe`: flags win, what neither names keeps its default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from edgetl.backbones import Source
from edgetl.cli.flags import by_commas
from edgetl.recipe import Direction, Recipe, Unfreeze, read_recipe
from edgetl_runtime.errors import InputError

# Settings that are a number or the word auto.
_NUMBERS = ("learning_rate", "weight_decay", "l2_sp", "label_smoothing", "mixup")


def resolve_recipe(path: Path | None, flags: Mapping[str, Any]) -> Recipe:
    """Merge; a flag that was not given is None.

    Raises:
        InputError: a setting is unknown or out of range.
    """
    settings = read_recipe(path) if path else {}
    given = {name: _parsed(name, value) for name, value in flags.items() if value is not None}
    return Recipe(**{**settings, **given})


def named_settings(path: Path | None, flags: Mapping[str, Any]) -> set[str]:
    """Return the settings that the file or a flag names; a flag that was not given is None."""
    return {
        *(read_recipe(path) if path else ()),
        *(name for name, value in flags.items() if value is not None),
    }


def parse_unfreeze(text: str) -> Unfreeze:
    """Read a direction, or steps such as `2,3,9`; `0` means no step."""
    if text in get_args(Direction):
        return cast(Direction, text)
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        allowed = ", ".join(get_args(Direction))
        raise InputError(
            f"--unfreeze must be one of {allowed}, or whole numbers such as 2,3,9, got {text!r}."
        ) from None
    return () if steps == (0,) else steps


def check_source(name: str | None) -> Source | None:
    """Return the name of a source of backbones."""
    if name is not None and name not in get_args(Source):
        raise InputError(f"--source must be one of {', '.join(get_args(Source))}, got {name!r}.")
    return cast(Source | None, name)


def _parsed(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name == "unfreeze":
        return parse_unfreeze(value)
    if name == "candidates":
        return by_commas(value)
    if name in _NUMBERS and value != "auto":
        return _number(name, value)
    return value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        flag = name.replace("_", "-")
        raise InputError(f"--{flag} must be auto or a number such as 0.001, got {text!r}.") from None
