"""Trials: the head is tried once, and staged tuning only where something might replace it."""

from pathlib import Path

import pytest
from edgetl_factories import colour_folder

from edgetl.advise import trials
from edgetl.advise.plan import Facts
from edgetl.advise.probe import Probed
from edgetl.advise.request import Request
from edgetl.advise.resources import Speeds
from edgetl.advise.trials import Tried, try_approaches
from edgetl.dataset import Dataset, load_dataset, split_dataset
from edgetl.recipe import Recipe
from edgetl_runtime.pictures import Index, Picture

MINUTES = dict.fromkeys(("head", "staged", "full", "input", "scratch", "first step"), 0.1)
FACTS = Facts(60, 20, 40, 224, 9, 0.005, 0.1, 0.2, 0.8, None, None, MINUTES, 10)
SPEEDS = Speeds(0.001, {2: 0.001, 9: 0.001}, 0.002)
NAMES = {(): "head", (9,): "full", "output": "staged", "input": "input"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(colour_folder(tmp_path_factory.mktemp("colours"), 8))


def tried(
    dataset: Dataset, losses: dict[str, float], patch: pytest.MonkeyPatch, **settings: object
) -> tuple[Tried, list[str]]:
    """Let each approach have its loss on every picture; also return what ran."""
    ran = []

    def probe(few: Dataset, recipe: Recipe, seconds: float) -> Probed:
        name = "scratch" if recipe.weights == "none" else NAMES[recipe.unfreeze]
        ran.append(name)
        return Probed({f"{n}": losses[name] + 0.01 * n for n in range(4)}, 0.5, 1.0, ())

    patch.setattr(trials, "probe", probe)
    request = Request(("a",), settings=settings)
    return try_approaches(dataset, "a", FACTS, SPEEDS, request, lambda name: None), ran


def test_staged_tuning_is_tried_where_full_tuning_might_replace_it(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {"head": 1.0, "input": 1.0, "full": 0.7, "staged": 0.8}
    found, ran = tried(dataset, losses, monkeypatch)
    assert ran == ["head", "input", "full", "staged"]
    gains = {"input": 0.0, "full": 0.3, "staged": 0.2}
    assert {name: round(one.value, 6) for name, one in found.gains.items()} == gains
    over_staged = {"input": -0.2, "full": 0.1}
    assert {name: round(one.value, 6) for name, one in found.over_staged.items()} == over_staged


def test_the_input_side_alone_is_reason_enough(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {"head": 1.0, "input": 0.5, "full": 1.0, "staged": 0.8}
    found, ran = tried(dataset, losses, monkeypatch)
    assert "staged" in ran
    assert found.over_staged["input"].proven
    assert not found.over_staged["full"].proven


def test_staged_tuning_is_not_tried_where_nothing_would_replace_it(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, ran = tried(dataset, {"head": 1.0, "input": 1.0, "full": 1.1}, monkeypatch)
    assert ran == ["head", "input", "full"]
    assert found.over_staged == {}
    assert (
        found.unprobed["staged"] == "it is the default, and nothing that would replace it is proven to help"
    )


def test_what_the_recipe_says_needs_no_trial(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found, ran = tried(dataset, {}, monkeypatch, unfreeze=(2,))
    assert (ran, found.gains) == ([], {})
    assert set(found.unprobed.values()) == {"the recipe says what to unfreeze"}


def test_many_classes_are_no_obstacle_even_without_trials() -> None:
    pictures = tuple(
        Picture(Path(f"{number}.png"), f"{number:064x}", (f"{number % 300:03}",), split)
        for split, numbers in {"train": range(300), "val": range(300, 310), "test": range(310, 320)}.items()
        for number in numbers
    )
    classes = tuple(f"{number:03}" for number in range(300))
    many = split_dataset(Index(Path("data"), classes, "single_label", pictures))
    found = try_approaches(many, "a", FACTS, SPEEDS, Request(("a",), trials=False), lambda name: None)
    assert set(found.unprobed.values()) == {"trials are switched off"}
