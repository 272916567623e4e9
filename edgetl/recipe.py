"""The settings of a training: one frozen record, from TOML and flags, written beside what it produced."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from edgetl_runtime.errors import InputError
from edgetl_runtime.strict_json import well_formed

Views = Literal["none", "hflip", "flips"]
ClassWeights = Literal["auto", "balanced", "none"]
Augment = Literal["auto", "none", "trivial"]
Precision = Literal["auto", "f32", "bf16"]
Direction = Literal["output", "input", "middle", "auto"]
Unfreeze = Direction | tuple[int, ...]
Auto = Literal["auto"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Say how to train; every field has a default that holds without tuning.

    backbone, weights: see `create_backbone`; weights is "default", "none" or the path of a file. A network
        with weights "none" is trained from scratch, unless `unfreeze` is a list. `edgetl.finetune` takes the
        backbone "auto" as well: it measures which one suits and how to train it, as `edgetl advise` does,
        and takes no weights.
    size, crop: of the preprocessing; None takes the backbone's own.
    views: which mirrored copies of a training picture may be seen: none, left-right, or both directions.
    augment: "trivial" adds copies changed by TrivialAugment; "auto" is "none".
    unfreeze: which stages the steps of the fine-tuning train. "output" begins with the last ones, "input"
        with the first, "middle" between, and "auto" measures which; a tuple says how many stages, counted
        from the output, each step trains; an empty one keeps the solved head.
    epochs: of each step; None derives them from the number of pictures.
    learning_rate: of the head and the last trained stage; each stage nearer the input has it divided by
        `decay`. "auto" lets three rates race.
    weight_decay, label_smoothing, mixup, l2_sp: "auto" chooses by the pictures per class, see
        `edgetl.regularizers`. mixup is the alpha of its Beta distribution, l2_sp the pull toward the weights
        that a step starts from.
    dropout: share of the features before the head that are dropped in training.
    ema: decay of the weights' moving average, in (0, 1), per step.
    patience: epochs without a better validation loss that end a step; 0 never ends it.
    precision: of training: f32, bf16, or "auto": bf16 where it is tried, faster and agrees.
    target_accuracy: 0–1, on the choosing half of validation. Steps stop when it is reached; when it is not,
        other backbones and training from scratch are tried.
    candidates: those other backbones, in order, and those that "auto" chooses from; None takes the installed
        EfficientNet-Lites.
    max_latency_ms, max_size_mb: what a backbone may cost on this machine, see `edgetl.cost`; one that costs
        more is refused.
    time_budget_s: seconds for the whole training; steps that would not fit are left out and named.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "default"
    size: int | None = None
    crop: float | None = None
    views: Views = "hflip"
    augment: Augment = "auto"
    unfreeze: Unfreeze = "output"
    epochs: int | None = None
    batch_size: int = 32
    learning_rate: float | Auto = "auto"
    decay: float = 1.2
    weight_decay: float | Auto = "auto"
    label_smoothing: float | Auto = "auto"
    mixup: float | Auto = "auto"
    l2_sp: float | Auto = "auto"
    dropout: float = 0.0
    warmup: float = 0.1
    ema: float = 0.98
    patience: int = 4
    precision: Precision = "f32"
    class_weights: ClassWeights = "auto"
    target_accuracy: float | None = None
    candidates: tuple[str, ...] | None = None
    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    time_budget_s: float = 600.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("backbone", "weights"):
            if not _is_text(getattr(self, name)):
                raise InputError(f"Recipe.{name} must be a text in UTF-8, got {getattr(self, name)!r}.")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in get_args(allowed):
                raise InputError(
                    f"Recipe.{name} must be one of {get_args(allowed)}, got {getattr(self, name)!r}."
                )
        for name in _RANGES:
            self._check_number(name)
        self._check_unfreeze()
        self._check_candidates()
        self._check_auto()

    def _check_number(self, name: str) -> None:
        value, (low, high) = getattr(self, name), _RANGES[name]
        if (value is None and name in _DERIVED) or (value == "auto" and name in _AUTO):
            return
        kind, allowed = ("a whole number", int) if name in _WHOLE else ("a number", int | float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not low <= value <= high:
            auto = ' or "auto"' if name in _AUTO else ""
            raise InputError(
                f"Recipe.{name} must be {kind} in [{low:.10g}, {high:.10g}]{auto}, got {value!r}."
            )

    def _check_unfreeze(self) -> None:
        steps = self.unfreeze
        if isinstance(steps, str) and steps in get_args(Direction):
            return
        if not isinstance(steps, tuple) or not _rise(steps):
            raise InputError(
                f"Recipe.unfreeze must be one of {get_args(Direction)}, or rising whole numbers from 1, such "
                f"as (1, 2, 4), got {steps!r}."
            )

    def _check_candidates(self) -> None:
        names = () if self.candidates is None else self.candidates
        if not isinstance(names, tuple) or not all(map(_is_text, names)):
            raise InputError(f"Recipe.candidates must be names of backbones, got {names!r}.")

    def _check_auto(self) -> None:
        if self.backbone == "auto" and self.weights != "default":
            raise InputError(
                "Recipe.weights must be 'default' where the backbone is 'auto', which measures pretrained "
                f"features, got {self.weights!r}. Leave them out, or name the backbone that they are for; "
                "'auto' by itself proposes training from scratch where that is better."
            )

    def to_json(self) -> dict[str, Any]:
        """Give all fields as JSON, the derived ones as null."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """Give all fields as TOML; what is None is left out, since TOML has no such value."""
        lines = [f"{name} = {_toml(value)}" for name, value in self.to_json().items() if value is not None]
        return "\n".join(lines) + "\n"


_CHOICES = {"views": Views, "augment": Augment, "precision": Precision, "class_weights": ClassWeights}
_RANGES: Mapping[str, tuple[float, float]] = {
    "size": (32, 1024),
    "crop": (0.1, 1),
    "epochs": (1, 1000),
    "batch_size": (2, 4096),
    "learning_rate": (1e-7, 10),
    "decay": (1, 100),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 0.9),
    "mixup": (0, 10),
    "l2_sp": (0, 10),
    "dropout": (0, 0.9),
    "warmup": (0, 0.9),
    "ema": (0, 0.99999),
    "patience": (0, 1000),
    "target_accuracy": (0, 1),
    "max_latency_ms": (1e-3, 1e6),
    "max_size_mb": (1e-3, 1e6),
    "time_budget_s": (1, 1e7),
    "seed": (0, 2**31 - 1),
}
_WHOLE = ("size", "epochs", "batch_size", "patience", "seed")
_DERIVED = ("size", "crop", "epochs", "target_accuracy", "max_latency_ms", "max_size_mb")
_AUTO = ("learning_rate", "weight_decay", "label_smoothing", "mixup", "l2_sp")


def _is_text(value: object) -> bool:
    """Tell whether a TOML file can hold this name; that of a file may have bytes that are no UTF-8."""
    return isinstance(value, str) and value == well_formed(value)


def _rise(steps: tuple[int, ...]) -> bool:
    whole = all(type(step) is int and step >= 1 for step in steps)
    return whole and all(a < b for a, b in pairwise(steps))


def _toml(value: Any) -> str:
    """Write a value; a JSON string without escapes beyond \\uXXXX is a TOML string as well."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the settings that a TOML file names.

    Raises:
        InputError: the file cannot be read, or has a key that no recipe has.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
