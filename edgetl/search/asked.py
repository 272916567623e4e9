"""What a search is asked for, and what makes two of them the same. Knows nothing about how it is given."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from edgetl.cost import Limits
from edgetl.dataset import Dataset
from edgetl.recipe import Recipe
from edgetl.search.space import Configuration, RecipeName, Space, recipe_settings
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import InputError

PrecisionName = Literal["float", "int8"]
# Of a recipe, what the search decides by itself or takes by flags of its own.
_OWN = ("backbone", "weights", "size", "unfreeze", "augment", "target_accuracy", "candidates")
_FLAGS = ("max_latency_ms", "max_size_mb", "time_budget_s", "seed")
# An own size must be as a recipe's.
_SIZES = (32, 1024)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search is asked for.

    space: what is chosen from. precisions: float is always measured; int8 for those on the front at the end.
    limits: of the float graph on this machine. trials: of the study in all, whoever does them.
    time_budget_s: of this process. settings: of every trial's recipe. storage: a database's URL; None is a
    file in the study's folder.
    """

    space: Space
    precisions: tuple[PrecisionName, ...] = ("float", "int8")
    limits: Limits = field(default_factory=Limits)
    trials: int = 20
    time_budget_s: float = 3600.0
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    storage: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= 100_000:
            raise InputError(f"--trials must be a whole number in [1, 100000], got {self.trials!r}.")
        if not 1 <= self.time_budget_s <= 1e7:
            raise InputError(f"--time-budget must be seconds in [1, 1e7], got {self.time_budget_s!r}.")
        _check_choices("--recipes", self.space.recipes, get_args(RecipeName))
        _check_choices("--precisions", self.precisions, get_args(PrecisionName))
        if not self.space.backbones or not self.space.sizes:
            raise InputError(
                "A search needs at least one backbone and one size, see --candidates and --sizes."
            )
        if wrong := [
            one for one in self.space.sizes if one is not None and not _SIZES[0] <= one <= _SIZES[1]
        ]:
            raise InputError(f"--sizes must be native or whole numbers in {list(_SIZES)}, got {wrong!r}.")
        if own := sorted({*_OWN, *_FLAGS} & set(self.settings)):
            raise InputError(
                f"A search decides on {own!r} itself, or takes a flag for it. Remove it from the recipe's "
                "file; see --candidates, --sizes, --recipes and edgetl search --help."
            )
        Recipe(**{"seed": self.seed, **self.settings})  # Refuses what no recipe has.

    def recipe(self, configuration: Configuration, seconds: float, stages: int | None = None) -> Recipe:
        """Return the recipe of a trial; without a number of stages, that of its head alone."""
        tuned = {"unfreeze": ()} if stages is None else recipe_settings(configuration.recipe, stages)
        return Recipe(
            **{
                "backbone": configuration.backbone,
                "size": configuration.size,
                "time_budget_s": max(1.0, seconds),
                "seed": self.seed,
                **self.settings,
                **tuned,
            }
        )

    def identity(self, dataset: Dataset) -> dict[str, Any]:
        """Return what another process must share to work on the same study: its times are of this machine."""
        here = read_environment()
        return {
            "pictures": dataset.split_fingerprint,
            "backbones": list(self.space.backbones),
            "sizes": list(self.space.sizes),
            "recipes": list(self.space.recipes),
            "limits": asdict(self.limits),
            "seed": self.seed,
            "settings": {name: _plain(value) for name, value in self.settings.items()},
            "machine": [here.cpu, here.cores, list(here.flags)],
        }


def study_name(identity: Mapping[str, Any]) -> str:
    """Name a study by what makes it the same."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"edgetl-{digest[:20]}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _check_choices(flag: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if not given or set(given) - set(allowed):
        raise InputError(f"{flag} must be some of {', '.join(allowed)}, by commas, got {','.join(given)!r}.")
