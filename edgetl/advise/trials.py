"""Which approaches are tried before the plan is made: those that it may hinge on, if time allows.

A trial is short and small, so it can speak for an approach and never against it.
"""

from collections.abc import Callable, Mapping

from edgetl.advise.plan import FEWEST_TO_TUNE, Approach, Facts, make_plan, settings
from edgetl.advise.probe import Gain, Probed, gain, probe
from edgetl.advise.request import Request
from edgetl.advise.resources import Speeds, predict_minutes
from edgetl.advise.sample import part
from edgetl.dataset import Dataset

_PICTURES, _EPOCHS = 200, 3
_SHARE = 0.2  # of the time budget, for all trials
_QUESTIONS: tuple[Approach, ...] = ("input", "scratch", "full")


def try_approaches(
    dataset: Dataset,
    name: str,
    facts: Facts,
    speeds: Speeds,
    request: Request,
    phase: Callable[[str], None],
) -> tuple[dict[str, Gain], Mapping[str, str]]:
    """Try what the plan may hinge on, in the order of promise, as long as the time allows.

    Args:
        name: of the backbone. phase: hears what is tried.

    Returns:
        The gains over the head by approach, and by approach why it was not tried.
    """
    few = part(dataset, _PICTURES, 2 * _PICTURES)
    left = _SHARE * request.time_budget_s
    predicted = predict_minutes(speeds, len(few.train), len(few.val), epochs=_EPOCHS)
    gains: dict[str, Gain] = {}
    unprobed: dict[str, str] = {
        one: reason for one in _QUESTIONS if (reason := _no_question(one, facts, request))
    }
    head: Probed | None = None
    for approach in _QUESTIONS:
        expected = 60 * predicted[approach] + (0 if head else 60 * predicted["head"])
        if approach not in unprobed and expected > left:
            unprobed[approach] = f"a trial would take {expected:.0f} s of {left:.0f}"
        if approach in unprobed:
            continue
        phase(f"trial: {approach}")
        given = {"backbone": name, "epochs": _EPOCHS}
        head = head or probe(few, request.recipe(**given, **settings("head", facts.stages)), left)
        tried = probe(few, request.recipe(**given, **settings(approach, facts.stages)), left)
        left -= tried.seconds
        gains[approach] = gain(tried, head)
    return gains, unprobed


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
    if approach == "input" and plan.approach != "input":
        return "no shift at the input"
    return ""
