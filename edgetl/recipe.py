"""The settings of a training: one frozen record, from TOML and flags, written beside what it produced."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from edgetl_runtime.errors import InputError

Views = Literal["none", "hflip", "flips"]
ClassWeights = Literal["auto", "balanced", "none"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Say how to train; every field has a default that holds without tuning.

    backbone, weights: see `create_backbone`; weights is "default", "none" or the path of a file.
    size, crop: of the preprocessing; None takes the backbone's own.
    views: which mirrored copies of a training picture may be seen: none, left-right, or both directions.
    unfreeze: how many stages, counted from the output, each step of the fine-tuning trains; None derives them
        (`edgetl.stages`), an empty list keeps the solved head.
    epochs: of each step; None derives them from the number of pictures.
    learning_rate: of the head and the last stage; each stage nearer the input has it divided by `decay`.
    ema: decay of the weights' moving average, in (0, 1), per step.
    time_budget_s: seconds for the whole training; steps that would not fit are left out and named.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "default"
    size: int | None = None
    crop: float | None = None
    views: Views = "hflip"
    unfreeze: tuple[int, ...] | None = None
    epochs: int | None = None
    batch_size: int = 32
    learning_rate: float = 5e-4
    decay: float = 2.6
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    warmup: float = 0.1
    ema: float = 0.98
    class_weights: ClassWeights = "auto"
    time_budget_s: float = 600.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("backbone", "weights"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"Recipe.{name} must be a text, got {getattr(self, name)!r}.")
        for name, allowed in (("views", Views), ("class_weights", ClassWeights)):
            if getattr(self, name) not in get_args(allowed):
                raise InputError(
                    f"Recipe.{name} must be one of {get_args(allowed)}, got {getattr(self, name)!r}."
                )
        for name in _RANGES:
            self._check_number(name)
        self._check_unfreeze()

    def _check_number(self, name: str) -> None:
        value, (low, high) = getattr(self, name), _RANGES[name]
        if value is None and name in _DERIVED:
            return
        kind, allowed = ("a whole number", int) if name in _WHOLE else ("a number", int | float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not low <= value <= high:
            raise InputError(f"Recipe.{name} must be {kind} in [{low:.10g}, {high:.10g}], got {value!r}.")

    def _check_unfreeze(self) -> None:
        steps = () if self.unfreeze is None else self.unfreeze
        whole = isinstance(steps, tuple) and all(type(step) is int and step >= 1 for step in steps)
        if not whole or not all(a < b for a, b in pairwise(steps)):
            raise InputError(
                f"Recipe.unfreeze must be rising whole numbers from 1, such as (1, 2, 4), got {steps!r}."
            )

    def to_json(self) -> dict[str, Any]:
        """Give all fields as JSON, the derived ones as null."""
        return dataclasses.asdict(self)


_RANGES: Mapping[str, tuple[float, float]] = {
    "size": (32, 1024),
    "crop": (0.1, 1),
    "epochs": (1, 1000),
    "batch_size": (2, 4096),
    "learning_rate": (1e-7, 10),
    "decay": (1, 100),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 0.9),
    "warmup": (0, 0.9),
    "ema": (0, 0.99999),
    "time_budget_s": (1, 1e7),
    "seed": (0, 2**31 - 1),
}
_WHOLE = ("size", "epochs", "batch_size", "seed")
_DERIVED = ("size", "crop", "epochs")


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the settings that a TOML file names.

    Raises:
        InputError: the file cannot be read, or has a key that no recipe has.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # not there, not UTF-8, not TOML
        raise InputError(f"The recipe {str(path)!r} cannot be read: {error}.") from error
    return check_keys(settings, str(path))


def check_keys(settings: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return the settings when each is a field of `Recipe`."""
    known = [field.name for field in dataclasses.fields(Recipe)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"{origin} has unknown keys {unknown!r}; a recipe has {', '.join(known)}.")
    lists = {name: tuple(value) for name, value in settings.items() if isinstance(value, list)}
    return {**settings, **lists}
