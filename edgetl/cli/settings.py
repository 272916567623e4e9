"""From a recipe's file and flags to a `Recipe`: flags win, what neither names keeps its default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from edgetl.backbones import Source
from edgetl.recipe import Recipe, read_recipe
from edgetl_runtime.errors import InputError


def resolve_recipe(path: Path | None, flags: Mapping[str, Any]) -> Recipe:
    """Merge; a flag that was not given is None.

    Raises:
        InputError: a setting is unknown or out of range.
    """
    settings = read_recipe(path) if path else {}
    given = {name: value for name, value in flags.items() if value is not None}
    if isinstance(given.get("unfreeze"), str):
        given["unfreeze"] = parse_steps(given["unfreeze"])
    return Recipe(**{**settings, **given})


def parse_steps(text: str) -> tuple[int, ...]:
    """Read `2,3,9`; `0` means no step."""
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--unfreeze must be whole numbers such as 2,3,9, got {text!r}.") from None
    return () if steps == (0,) else steps


def check_source(name: str | None) -> Source | None:
    """Return the name of a source of backbones."""
    if name is not None and name not in get_args(Source):
        raise InputError(f"--source must be one of {', '.join(get_args(Source))}, got {name!r}.")
    return cast(Source | None, name)
