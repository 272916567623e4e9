"""Which approaches are tried before the plan is made: those that it may hinge on, if time allows.

A trial is short and small, so it can speak for an approach and never against it. Fewer pictures than a trial
takes are seen more often: nine updates would tell nothing apart.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgetl.advise.plan import ENDS_AS_STAGED, FEWEST_TO_TUNE, Approach, Facts, make_plan, settings
from edgetl.advise.probe import Gain, Probed, gain, probe
from edgetl.advise.request import Request
from edgetl.advise.resources import Speeds, predict_minutes
from edgetl.advise.sample import TRIAL_PICTURES, part
from edgetl.dataset import Dataset

_EPOCHS, _MOST_EPOCHS = 3, 10
_SHARE = 0.2  # of the time budget, for all trials
_QUESTIONS: tuple[Approach, ...] = ("input", "scratch", "full", "staged")


@dataclass(frozen=True, slots=True)
class Tried:
    """What the trials gave.

    gains: over the head by approach. unprobed: by approach, why it was not tried. over_staged: the gains over
    staged tuning of what might replace it, where that was tried.
    """

    gains: Mapping[str, Gain]
    unprobed: Mapping[str, str]
    over_staged: Mapping[str, Gain]


def try_approaches(
    dataset: Dataset,
    name: str,
    facts: Facts,
    speeds: Speeds,
    request: Request,
    phase: Callable[[str], None],
) -> Tried:
    """Try what the plan may hinge on, in the order of promise, as long as the time allows.

    Args:
        name: of the backbone. phase: hears what is tried.
    """
    few = part(dataset, TRIAL_PICTURES, 2 * TRIAL_PICTURES)
    left = _SHARE * request.time_budget_s
    epochs = min(math.ceil(_EPOCHS * TRIAL_PICTURES / len(few.train)), _MOST_EPOCHS)
    predicted = predict_minutes(speeds, len(few.train), len(few.val), epochs=epochs)
    probed: dict[str, Probed] = {}
    unprobed: dict[str, str] = {}

    def run(approach: Approach) -> None:
        nonlocal left
        recipe = request.recipe(backbone=name, epochs=epochs, **settings(approach, facts.stages))
        probed[approach] = probe(few, recipe, left)
        left -= probed[approach].seconds

    for approach in _QUESTIONS:
        expected = 60 * (predicted[approach] + (0 if "head" in probed else predicted["head"]))
        reason = _no_question(approach, facts, request) or _nothing_to_compare(approach, probed)
        if reason or expected > left:
            unprobed[approach] = reason or f"a trial would take {expected:.0f} s of {left:.0f}"
            continue
        phase(f"trial: {approach}")
        if "head" not in probed:
            run("head")
        run(approach)
    gains = {one: gain(found, probed["head"]) for one, found in probed.items() if one != "head"}
    rivals = [one for one in ENDS_AS_STAGED if one in probed and "staged" in probed]
    return Tried(gains, unprobed, {one: gain(probed[one], probed["staged"]) for one in rivals})


def _nothing_to_compare(approach: Approach, probed: Mapping[str, Probed]) -> str:
    """Return why staged tuning, the default, needs no trial: nothing that would replace it is proven."""
    rivals = [one for one in ENDS_AS_STAGED if one in probed]
    if approach != "staged" or any(gain(probed[one], probed["head"]).proven for one in rivals):
        return ""
    return "it is the default, and nothing that would replace it is proven to help"


def _no_question(approach: Approach, facts: Facts, request: Request) -> str:
    """Return why an approach needs no trial, or the empty text."""
    if not request.trials:
        return "trials are switched off"
    if "unfreeze" in request.settings:
        return "the recipe says what to unfreeze"
    if approach not in facts.minutes:
        return "a run as backbone has no random weights"
    plan = make_plan(facts)
    if plan.transfer == "no signal" or facts.smallest < FEWEST_TO_TUNE:
        return "the plan does not depend on it"
    if facts.minutes[approach] > facts.budget:
        return f"the training itself would take {facts.minutes[approach]:.0f} minutes of {facts.budget:.0f}"
    if approach == "scratch" and plan.transfer == "helps":
        return "transfer helps"
    return ""
