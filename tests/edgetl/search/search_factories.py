"""A small search for other processes: two tiny networks, the command, and what the study says meanwhile."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from edgetl.dataset import Dataset
from edgetl.recipe import Recipe
from edgetl.search.asked import Asked
from edgetl.search.space import Space
from edgetl.search.study import open_study
from edgetl.search.trials import Trial
from edgetl.training import train

SETTINGS = {"crop": 1.0, "views": "none", "batch_size": 8, "epochs": 1, "learning_rate": 0.003}
RECIPE = 'crop = 1.0\nviews = "none"\nbatch_size = 8\nepochs = 1\nlearning_rate = 0.003\n'


def tiny_asked(dataset: Dataset, folder: Path) -> Asked:
    """Ask for two small networks whose weights are here, at two sizes."""
    plain = {name: SETTINGS[name] for name in ("crop", "views", "batch_size")}
    for seed in (0, 1):
        recipe = Recipe(
            backbone="timm/test_efficientnet", weights="none", unfreeze=(), size=32, seed=seed, **plain
        )
        train(dataset, recipe, folder / str(seed))
    space = Space((str(folder / "0"), str(folder / "1")), (32, 40), ("full",))
    return Asked(space, ("float",), trials=3, settings=SETTINGS)


def command(dataset: Dataset, asked: Asked, out: Path, *flags: str) -> list[str]:
    """Write the command that asks for the same, with a database of its own."""
    assert asked.storage is not None
    recipe = out.with_suffix(".toml")
    recipe.write_text(RECIPE, encoding="utf-8")
    words = [sys.executable, "-m", "edgetl", "search", str(dataset.root), "--out", str(out)]
    words += ["--candidates", ",".join(asked.space.backbones), "--trials", str(asked.trials)]
    words += ["--sizes", ",".join(map(str, asked.space.sizes)), "--recipes", ",".join(asked.space.recipes)]
    words += ["--precisions", "float", "--recipe", str(recipe), "--storage", asked.storage, "--json"]
    return [*words, *flags]


def trials(dataset: Dataset, asked: Asked) -> list[Trial]:
    """Read the study, also while others are at work on it."""
    with closing(open_study(asked, asked.identity(dataset), Path())) as study:
        return study.trials()


def complete(found: Sequence[Trial]) -> list[Trial]:
    return [one for one in found if one.state == "complete"]
