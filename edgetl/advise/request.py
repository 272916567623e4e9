"""What advice is asked for. Knows nothing about how it is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from edgetl.cost import Limits
from edgetl.recipe import Recipe
from edgetl_runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class Request:
    """What advice is asked for.

    backbones: names or runs; none given takes all installed EfficientNet-Lites. time_budget_s: of the
    training that is planned; race and probes may each take a fifth of it. trials: whether they may run.
    pictures: at most so many training pictures are looked at. settings: of the recipe, as far as they are
    given: what is measured is measured with them.
    """

    backbones: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    time_budget_s: float = 600.0
    trials: bool = True
    pictures: int = 2_000
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.time_budget_s > 0:
            raise InputError(f"--time-budget must be seconds above 0, got {self.time_budget_s!r}.")
        if self.pictures < 10:
            raise InputError(f"--pictures must be at least 10, got {self.pictures!r}.")
        self.recipe()  # Refuses what no recipe has.

    def recipe(self, **planned: Any) -> Recipe:
        """Return a recipe with the settings that are given, and over them what is planned."""
        return Recipe(**{"seed": self.seed, **self.settings, **planned})

    def flags(self) -> tuple[str, ...]:
        """Return what `edgetl train --backbone auto` needs to be asked the same, each flag with its value."""
        given = {
            "--candidates": ",".join(self.backbones),
            "--max-latency-ms": self.limits.latency_ms,
            "--max-size-mb": self.limits.size_mb,
            **{f"--{name.replace('_', '-')}": value for name, value in self.settings.items()},
            "--time-budget": None if self.time_budget_s == Recipe().time_budget_s else self.time_budget_s,
            "--seed": self.seed or None,
        }
        return tuple(
            f"{flag} {quote(_text(value))}" for flag, value in given.items() if value not in (None, "")
        )


def _text(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
