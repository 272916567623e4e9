"""What is tried next when a target accuracy is not reached, and why.

The order is that of price: the steps of the backbone at hand come first and are its own affair; then other
backbones, each as a whole; then random weights, which need more time than all the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgetl.backbones import list_backbones
from edgetl.recipe import Recipe
from edgetl.run import is_run


@dataclass(frozen=True, slots=True)
class Attempt:
    """One backbone with one kind of weights, tried as a whole.

    accuracy, validation_loss: of its best, on the choosing half, 0–1 and in nats; None where there is none.
    reason: why it was tried. failed: why it could not be, or not to its end, or the empty text.
    """

    backbone: str
    weights: str
    accuracy: float | None
    validation_loss: float | None
    seconds: float
    reason: str
    failed: str = ""


def reached(accuracy: float, target: float | None) -> bool:
    """Tell whether a target, if there is one, is reached."""
    return target is not None and accuracy >= target


def next_recipe(recipe: Recipe, tried: Sequence[Attempt], seconds_left: float) -> tuple[Recipe, str] | None:
    """Return the recipe to try next and why, or None when there is no target, no time, or nothing left.

    Time is short when less is left than the quickest attempt took.
    """
    target = recipe.target_accuracy
    if target is None or not tried:
        return None
    best = best_accuracy(tried)
    if reached(best, target) or seconds_left < _quickest(tried):
        return None
    names = {one.backbone for one in tried}
    for name in candidates(recipe):
        if name not in names:
            return replace(recipe, backbone=name, weights="default"), f"{best:.3f} of {target:g} so far"
    if all(one.weights != "none" for one in tried) and not is_run(recipe.backbone):
        scratch = replace(recipe, weights="none", unfreeze="output")
        return scratch, f"{best:.3f} of {target:g}: from scratch"
    return None


def candidates(recipe: Recipe, installed: Callable[[], Sequence[str]] | None = None) -> tuple[str, ...]:
    """Return the other backbones of a recipe, or the EfficientNet-Lites whose weights are installed."""
    if recipe.candidates is not None:
        return recipe.candidates
    return tuple((installed or _installed_lites)())


def ending(recipe: Recipe, tried: Sequence[Attempt], seconds_left: float) -> str:
    """Say how a pursuit ended, or nothing where there was no target."""
    if recipe.target_accuracy is None:
        return ""
    best = best_accuracy(tried)
    if reached(best, recipe.target_accuracy):
        return f"Target reached: accuracy {best:.3f} on the choosing half, {recipe.target_accuracy:g} wanted."
    why = "the time budget is used up" if seconds_left < _quickest(tried) else "nothing is left to try"
    return (
        f"Target not reached: accuracy {best:.3f} of {recipe.target_accuracy:g}; {why}. "
        "Give more pictures, or a larger --time-budget."
    )


def best_accuracy(tried: Sequence[Attempt]) -> float:
    """Return the best accuracy that was reached, 0 where nothing was."""
    return max((one.accuracy for one in tried if one.accuracy is not None), default=0.0)


def _quickest(tried: Sequence[Attempt]) -> float:
    return min((one.seconds for one in tried if not one.failed), default=0.0)


def _installed_lites() -> list[str]:
    return [info.name for info in list_backbones("lite") if info.installed]
