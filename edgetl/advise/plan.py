"""From measured facts to a plan, as a pure function: how to train, what it costs, and why.

Thresholds. Fewer than 5 pictures a class, no fine-tuning: fixed features beat fine-tuning with extremely few
samples (arXiv 2205.07874). Below 96 pixels, a smaller input: BiT trains such pictures at 128 (Kolesnikov et
al. 2020). Tuning the first layers where the shift is at the input: Lee et al., Surgical Fine-Tuning, 2022.
A probe counts when the one-sided 90 % bound of its gain is above zero. All others are ours, marked so
below, and no more than reasonable until an ablation confirms them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgetl.advise.probe import Gain

Approach = Literal["head", "staged", "full", "input", "scratch"]
Transfer = Literal["helps", "does not help", "not shown", "no signal"]

FEWEST_TO_TUNE = 5  # pictures of the smallest class
# Like staged tuning, these end by tuning all stages.
ENDS_AS_STAGED: tuple[Approach, ...] = ("input", "full")
SMALL_SIDE, SMALL_INPUT = 96, 128  # pixels
# Ours: the false positives of 1 in 100 tasks, what a lift must exclude to be nothing, an accuracy that leaves
# tuning nothing to win, and the pictures below which training from scratch is not tried on a guess.
SIGNAL_P, NO_LIFT, NEARLY_PERFECT, FEWEST_FOR_SCRATCH = 0.01, 0.02, 0.98, 10_000
# Ours, from seven made-up shifts of photographs: blur and noise gave 0.5 in the first third of
# EfficientNet-Lite0 and 0.2 in the last, photographs 0.1 in both, solar cells 0.6 in both.
SHALLOW_SHIFT, SHALLOW_OVER_DEEP = 0.3, 1.8


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan is made from.

    train: training pictures. smallest: of the smallest class. side: median shorter side in pixels. size: of
    the network's input. stages: of the backbone. signal_p: of either kind of features. lift_low, lift_high:
    the interval of the ridge lift. accuracy: of ridge regression on frozen features. shallow, deep: distances
    from the pretraining pictures; None without a reference. minutes: by approach and of a shortened `first
    step`, predicted. budget: in minutes. gains: of approaches that were probed, over the head.
    over_staged: gains of those that were probed, where staged tuning was too, over that. takes_small: whether
    the network can take pictures of `SMALL_INPUT`.
    """

    train: int
    smallest: int
    side: float
    size: int
    stages: int
    signal_p: float
    lift_low: float
    lift_high: float
    accuracy: float
    shallow: float | None
    deep: float | None
    minutes: Mapping[str, float]
    budget: float
    gains: Mapping[str, Gain] = field(default_factory=dict)
    over_staged: Mapping[str, Gain] = field(default_factory=dict)
    takes_small: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    reasons: sentences, the decisive one first. minutes: expected. settings: of the recipe that follow from
    it.
    """

    approach: Approach
    transfer: Transfer
    reasons: tuple[str, ...]
    minutes: float
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a plan needs a reason")


def make_plan(facts: Facts) -> Plan:
    """Decide; every combination of facts has a plan."""
    transfer = judge_transfer(facts)
    approach, reason = _decide(facts, transfer)
    remarks = (*_remarks(facts, transfer), *_size_remark(facts))
    minutes = min(facts.minutes.get(approach, 0.0), facts.budget if approach == "staged" else float("inf"))
    return Plan(approach, transfer, (reason, *remarks), minutes, settings(approach, facts.stages))


def settings(approach: Approach, stages: int) -> dict[str, Any]:
    """Return the settings of a recipe that take this approach on a backbone of so many stages."""
    by_approach: dict[Approach, dict[str, Any]] = {
        "head": {"unfreeze": ()},
        "staged": {},
        "full": {"unfreeze": (stages,)},
        "input": {"unfreeze": "input"},
        "scratch": {"weights": "none", "unfreeze": "output"},  # A tuple would keep some of them frozen.
    }
    return by_approach[approach]


def judge_transfer(facts: Facts) -> Transfer:
    """Say whether pretraining is worth something on these pictures."""
    if facts.signal_p > SIGNAL_P:
        return "no signal"
    if facts.lift_low > 0:
        return "helps"
    return "does not help" if facts.lift_high < NO_LIFT else "not shown"


def _decide(facts: Facts, transfer: Transfer) -> tuple[Approach, str]:
    if transfer == "no signal":
        why = f"The features tell the classes apart no better than shuffled labels (p = {facts.signal_p:.2f})"
        return "head", f"{why}: check the labels and the pictures before training more than a head."
    if facts.smallest < FEWEST_TO_TUNE:
        return "head", (
            f"The smallest class has {facts.smallest} pictures; below {FEWEST_TO_TUNE}, fixed features beat "
            "fine-tuning."
        )
    if measured := _best_probe(facts):
        return measured
    is_worth_scratch = facts.train >= FEWEST_FOR_SCRATCH and "scratch" not in facts.gains
    if transfer == "does not help" and is_worth_scratch and _affordable(facts, "scratch"):
        return "scratch", f"Pretraining shows no lift, and {facts.train:,} pictures can train a network."
    if facts.accuracy >= NEARLY_PERFECT:
        return "head", f"Frozen features are right on {facts.accuracy:.1%} already: tuning has little to win."
    if _is_input_shift(facts) and _affordable(facts, "input") and "input" not in facts.gains:
        return "input", (
            f"The pictures differ from the pretraining ones at the input (distance {facts.shallow:.2f}) more "
            f"than in depth ({facts.deep:.2f}): tune the first stages."
        )
    if _affordable(facts, "staged"):
        return "staged", "Stages are tuned from the output, each kept only if it helps on validation."
    return "head", (
        f"Even a first step of tuning would take about {facts.minutes.get('first step', 0):.0f} minutes, and "
        f"{facts.budget:.0f} are allowed."
    )


def _best_probe(facts: Facts) -> tuple[Approach, str] | None:
    """Return the affordable approach whose measured gain over the head is proven and largest.

    A gain of tuning everything, or the input first, speaks for staged tuning as well: all end with the same
    step. So staged it is where that fits, unless the other is proven to be better than that too.
    """
    proven: list[tuple[float, Approach]] = [
        (facts.gains[name].value, name)
        for name in ("staged", "full", "input", "scratch")
        if name in facts.gains and facts.gains[name].proven and _affordable(facts, name)
    ]
    if not proven:
        return None
    value, name = max(proven)
    error = facts.gains[name].error
    told = f"In a short trial, {name} lowered the loss of the head by {value:.3f} ± {error:.3f} nats"
    if name not in ENDS_AS_STAGED or (name in facts.over_staged and facts.over_staged[name].proven):
        return name, f"{told}."
    minutes = facts.minutes.get("staged", float("inf"))
    if minutes <= facts.budget:
        return "staged", f"{told}; staged tuning ends with the same step, and keeps each only if it helps."
    return (
        name,
        f"{told}; staged tuning would take {minutes:.0f} minutes, and {facts.budget:.0f} are allowed.",
    )


def _remarks(facts: Facts, transfer: Transfer) -> list[str]:
    interval = f"{100 * facts.lift_low:+.1f} to {100 * facts.lift_high:+.1f} points"
    told: dict[Transfer, str] = {
        "helps": f"Transfer helps: the lift over random features is {interval}.",
        "does not help": f"Transfer does not help: the lift over random features is {interval}. Weights of "
        "another source, or training from scratch, may do as well.",
        "not shown": f"Whether transfer helps is not shown: the lift over random features is {interval}.",
        "no signal": "Whether transfer helps cannot be told where there is no signal.",
    }
    failed = [name for name, one in facts.gains.items() if not one.proven]
    tried = [f"Tried without a proven gain over the head: {', '.join(failed)}."] if failed else []
    return [told[transfer], *tried]


def _size_remark(facts: Facts) -> list[str]:
    if facts.side >= SMALL_SIDE or facts.size <= SMALL_INPUT or not facts.takes_small:
        return []
    cheaper = (facts.size / SMALL_INPUT) ** 2
    remark = f"--size {SMALL_INPUT} is {cheaper:.1f} times cheaper than {facts.size}, and worth a try."
    return [f"The pictures have {facts.side:.0f} pixels: {remark}"]


def _is_input_shift(facts: Facts) -> bool:
    if facts.shallow is None or facts.deep is None:
        return False
    return facts.shallow >= SHALLOW_SHIFT and facts.shallow >= SHALLOW_OVER_DEEP * facts.deep


def _affordable(facts: Facts, approach: Approach) -> bool:
    """Tell whether an approach fits the budget; staged tuning leaves out by itself what does not."""
    if approach == "staged":
        return facts.minutes.get("first step", float("inf")) <= facts.budget
    return facts.minutes.get(approach, float("inf")) <= facts.budget
