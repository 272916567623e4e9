"""What a search chooses from: backbones, sizes and recipes, and all their combinations."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from edgetl.advise.plan import settings

RecipeName = Literal["staged", "full", "augmented"]
NATIVE = "native"  # the size that a backbone was trained at


@dataclass(frozen=True, slots=True)
class Configuration:
    """One combination; a trial is a try of it. size: None is the backbone's own."""

    backbone: str
    size: int | None
    recipe: RecipeName

    def params(self) -> dict[str, Any]:
        """Return it as the parameters of a study."""
        size: int | str = NATIVE if self.size is None else self.size
        return {"backbone": self.backbone, "size": size, "recipe": self.recipe}

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Configuration":
        """Read it from the parameters of a study."""
        size = None if params["size"] == NATIVE else int(params["size"])
        return cls(str(params["backbone"]), size, params["recipe"])

    def told(self) -> str:
        """Return it in words."""
        return f"{self.backbone} at {'its own size' if self.size is None else self.size}, {self.recipe}"


@dataclass(frozen=True, slots=True)
class Space:
    """Everything that may be tried."""

    backbones: tuple[str, ...]
    sizes: tuple[int | None, ...]
    recipes: tuple[RecipeName, ...]

    def choices(self) -> dict[str, tuple[Any, ...]]:
        """Return what each parameter of a study may be."""
        sizes = tuple(NATIVE if size is None else size for size in self.sizes)
        return {"backbone": self.backbones, "size": sizes, "recipe": self.recipes}

    def all(self) -> tuple[Configuration, ...]:
        """Return all combinations; each backbone comes once before any comes twice."""
        return tuple(
            Configuration(backbone, size, recipe)
            for size, recipe, backbone in product(self.sizes, self.recipes, self.backbones)
        )


def recipe_settings(name: RecipeName, stages: int) -> dict[str, Any]:
    """Return the settings of a recipe on a backbone of so many stages."""
    by_name: dict[RecipeName, dict[str, Any]] = {
        "staged": settings("staged", stages),
        "full": settings("full", stages),
        "augmented": settings("staged", stages) | {"augment": "trivial"},
    }
    return by_name[name]
