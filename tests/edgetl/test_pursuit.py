"""What is tried next for a target, in which order, and how it ends."""

from pathlib import Path

import pytest

from edgetl.pursuit import Attempt, candidates, ending, next_recipe, reached
from edgetl.recipe import Recipe

RECIPE = Recipe(backbone="a", target_accuracy=0.9, candidates=("b", "c"))


def attempt(backbone: str, accuracy: float | None, weights: str = "default", seconds: float = 10) -> Attempt:
    failed = "not installed" if accuracy is None else ""
    return Attempt(backbone, weights, accuracy, 0.5, seconds, "why", failed)


def order(recipe: Recipe, accuracy: float = 0.5) -> list[tuple[str, str, str]]:
    """List everything that would be tried, all of it equally bad."""
    tried, found = [attempt(recipe.backbone, accuracy, recipe.weights)], []
    while (following := next_recipe(recipe, tried, 1e6)) is not None:
        following_recipe, reason = following
        found.append((following_recipe.backbone, following_recipe.weights, reason))
        tried.append(attempt(following_recipe.backbone, accuracy, following_recipe.weights))
    return found


def test_other_backbones_come_before_random_weights() -> None:
    assert order(RECIPE) == [
        ("b", "default", "0.500 of 0.9 so far"),
        ("c", "default", "0.500 of 0.9 so far"),
        ("a", "none", "0.500 of 0.9: from scratch"),
    ]


def test_random_weights_are_trained_as_a_whole() -> None:
    recipe = Recipe(backbone="a", target_accuracy=0.9, candidates=(), unfreeze=(1, 2))
    following = next_recipe(recipe, [attempt("a", 0.5)], 100)
    assert following is not None
    assert (following[0].weights, following[0].unfreeze) == ("none", "output")


def test_a_folder_of_a_backbones_name_is_no_run_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    recipe = Recipe(backbone="a", target_accuracy=0.9, candidates=())
    assert order(recipe) == [("a", "none", "0.500 of 0.9: from scratch")]


def test_random_weights_are_tried_once() -> None:
    assert order(Recipe(backbone="a", weights="none", target_accuracy=0.9, candidates=())) == []


def test_a_run_has_no_random_weights(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    assert order(Recipe(backbone=str(tmp_path), target_accuracy=0.9, candidates=())) == []


def test_nothing_follows_without_a_target_or_when_it_is_reached() -> None:
    assert next_recipe(Recipe(), [attempt("a", 0.1)], 1e6) is None
    assert next_recipe(RECIPE, [attempt("a", 0.5), attempt("b", 0.9)], 1e6) is None


def test_nothing_follows_when_less_time_is_left_than_the_quickest_attempt_took() -> None:
    tried = [attempt("a", 0.5, seconds=30), attempt("b", 0.6, seconds=20), attempt("c", None, seconds=0)]
    assert next_recipe(RECIPE, tried, 19) is None
    assert next_recipe(RECIPE, tried, 21) is not None


def test_what_failed_is_not_tried_again() -> None:
    following = next_recipe(RECIPE, [attempt("a", 0.5), attempt("b", None)], 100)
    assert following is not None
    assert following[0].backbone == "c"


@pytest.mark.parametrize(
    ("accuracies", "left", "told"),
    [
        ([0.5, 0.92], 100, "Target reached: accuracy 0.920 on the choosing half, 0.9 wanted."),
        ([0.5], 5, "Target not reached: accuracy 0.500 of 0.9; the time budget is used up."),
        ([0.5, None], 100, "Target not reached: accuracy 0.500 of 0.9; nothing is left to try."),
    ],
)
def test_the_end_is_told(accuracies: list[float | None], left: float, told: str) -> None:
    assert ending(RECIPE, [attempt("a", accuracy) for accuracy in accuracies], left).startswith(told)


def test_without_a_target_there_is_nothing_to_tell() -> None:
    assert ending(Recipe(), [attempt("a", 0.5)], 5) == ""


def test_a_target_is_reached_exactly() -> None:
    assert reached(0.9, 0.9)
    assert not reached(0.899, 0.9)
    assert not reached(1.0, None)


def test_installed_lites_stand_in_for_candidates_that_are_not_named() -> None:
    assert candidates(RECIPE) == ("b", "c")
    assert candidates(Recipe(), lambda: ["x", "y"]) == ("x", "y")
    assert "efficientnet_lite0" in candidates(Recipe())
