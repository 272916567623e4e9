"""What of a plan a training takes: all of it, unless the user or a target says otherwise."""

from typing import Any

import pytest

from edgetl.advise.follow import follow
from edgetl.recipe import Recipe, Unfreeze


def advice(**settings: Any) -> dict[str, Any]:
    """Advise backbone "a" with these settings."""
    candidates = [{"name": name, "left_out": ""} for name in "ab"]
    plan = {"approach": "head", "reasons": ["why"], "settings": settings}
    return {"backbone": "a", "seconds": 1.0, "candidates": candidates, "plan": plan}


@pytest.mark.parametrize(("target", "unfreeze"), [(None, ()), (0.9, "output")])
def test_a_planned_head_that_may_miss_a_target_leaves_stages_to_tune(
    target: float | None, unfreeze: Unfreeze
) -> None:
    assert follow(Recipe(target_accuracy=target), advice(unfreeze=[]), set()).unfreeze == unfreeze


def test_a_target_changes_no_other_plan() -> None:
    recipe = Recipe(target_accuracy=0.9)
    assert follow(recipe, advice(unfreeze=[9]), set()).unfreeze == (9,)
    assert follow(recipe, advice(unfreeze="input"), set()).unfreeze == "input"
    scratch = follow(recipe, advice(weights="none", unfreeze="output"), set())
    assert (scratch.weights, scratch.unfreeze) == ("none", "output")


def test_a_head_that_the_user_asks_for_stays_one_whatever_the_target() -> None:
    recipe = Recipe(target_accuracy=0.9, unfreeze=())
    assert follow(recipe, advice(unfreeze=[]), {"unfreeze"}).unfreeze == ()
