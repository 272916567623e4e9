"""The rules of the gate, as a table of functions: evidence and limits in, what the rule found out.

A rule without a limit is not asked and gives None. What is uncertain is decided by an interval: PASS if all
of it is within the limit, FAIL if all of it is beyond, INCONCLUSIVE between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, get_args

from edgetl_runtime.errors import InputError, ReceiptError
from edgetl_runtime.resampling import macro_f1_drop
from edgetl_runtime.simulated import NO_TIMES
from edgetl_runtime.slowdown import slowdown
from edgetl_runtime.statistics import Interval, clopper_pearson, exceeds, holm, mcnemar_exact
from edgetl_runtime.verdict import ClassDrop, Difference, Metric, Outcome, Rule, outcome_of, points

if TYPE_CHECKING:
    from edgetl_runtime.accuracy import AccuracyDrop
    from edgetl_runtime.pairing import Pair
    from edgetl_runtime.receipt import Receipt

__all__ = ["RULES", "Evidence", "Limits", "class_drops"]

_POWER = 0.8


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gate is asked besides the margin; None asks nothing. Shares and differences are ratios.

    metric: whose drop the margin limits.
    negative_flips: the share of pictures that may be right before and wrong after.
    class_margin: the drop that any single class may have.
    calibration: by how much the expected calibration error may rise.
    latency_ratio: of the mean time of a picture to the baseline's, both divided by the time of the reference
        workload of their own run. size_ratio, memory_ratio: of the files, and of the peak memory.
    across_machines: compare receipts of different processors.
    """

    metric: Metric = "accuracy"
    negative_flips: float | None = None
    class_margin: float | None = None
    calibration: float | None = None
    latency_ratio: float | None = None
    size_ratio: float | None = None
    memory_ratio: float | None = None
    across_machines: bool = False

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise InputError(f"metric must be one of {', '.join(get_args(Metric))}, got {self.metric!r}.")
        for name in ("negative_flips", "class_margin", "calibration"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise InputError(f"{name} must be a share in (0, 1), got {value!r}; 0.01 is 1 %.")
        for name in ("latency_ratio", "size_ratio", "memory_ratio"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} must be a positive ratio, got {value!r}; 1.2 allows a fifth more.")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the rules look at."""

    baseline: Receipt
    candidate: Receipt
    pair: Pair
    accuracy: AccuracyDrop
    balanced: Difference | None
    calibration: Difference | None
    classes: tuple[ClassDrop, ...]

    @property
    def alpha(self) -> float:
        """The one-sided error of every rule."""
        return self.accuracy.alpha


def class_drops(pair: Pair) -> tuple[ClassDrop, ...]:
    """Return the drop of each class that the pictures show, the largest first."""
    lost, gained, size = (column.tolist() for column in pair.flips_by_class())
    shown = [k for k, n in enumerate(size) if n]
    p_values = holm([_p_of_drop(lost[k], gained[k]) for k in shown])
    drops = [
        ClassDrop(pair.classes[k], (lost[k] - gained[k]) / size[k], lost[k], gained[k], size[k], p)
        for k, p in zip(shown, p_values, strict=True)
    ]
    return tuple(sorted(drops, key=lambda drop: -drop.drop))


def _p_of_drop(lost: int, gained: int) -> float:
    """Return the one-sided p-value of McNemar's exact test; a gain is no evidence of a drop."""
    return mcnemar_exact(lost, gained) / 2 if lost > gained else 1.0


def _metric(evidence: Evidence, limits: Limits) -> Rule:
    if limits.metric == "accuracy":
        return evidence.accuracy.rule()
    name, alpha, margin = limits.metric.replace("_", " "), evidence.alpha, evidence.accuracy.margin
    found = evidence.balanced
    if limits.metric == "macro_f1":
        found = macro_f1_drop(evidence.pair, 1 - 2 * alpha)
    if found is None:
        raise InputError("balanced_accuracy needs one label for each picture. Use --metric macro_f1.")
    outcome = outcome_of(found.interval, margin)
    sentence = (
        f"the drop of {name} is {points(found.value)} pp on {evidence.accuracy.n:,} pictures "
        f"({1 - 2 * alpha:.0%} bootstrap interval {_interval(found.interval)}); "
        f"{100 * margin:.2f} pp are allowed."
    )
    steps = _more_pictures(found, margin, evidence) if outcome == "INCONCLUSIVE" else ()
    return Rule(name, outcome, sentence, _reason(outcome), steps)


def _more_pictures(found: Difference, margin: float, evidence: Evidence) -> tuple[str, ...]:
    """Say how many pictures would decide, the interval shrinking with the root of their number."""
    distance = abs(margin - max(0.0, found.value))
    z, z_power = NormalDist().inv_cdf(1 - evidence.alpha), NormalDist().inv_cdf(_POWER)
    arm = max(found.interval.high - found.value, found.value - found.interval.low)
    needed = evidence.accuracy.n * (arm / z * (z + z_power) / distance) ** 2 if distance > 1e-9 else math.inf
    if not needed <= 1e7:
        return ("The drop is so near the margin that no practical number of pictures would decide.",)
    return (f"About {math.ceil(needed):,} pictures would decide if the rates stay as they are.",)


def _negative_flips(evidence: Evidence, limits: Limits) -> Rule | None:
    if limits.negative_flips is None:
        return None
    lost, n, budget = evidence.accuracy.lost, evidence.accuracy.n, limits.negative_flips
    interval = clopper_pearson(lost, n, 1 - 2 * evidence.alpha)
    outcome = outcome_of(interval, budget)
    sentence = (
        f"{lost:,} of {n:,} pictures were right and are wrong now, {100 * lost / n:.2f} % "
        f"({1 - 2 * evidence.alpha:.0%} interval {100 * interval.low:.2f} to {100 * interval.high:.2f}); "
        f"{100 * budget:.2f} % are allowed."
    )
    steps = _more_for_share(lost / n, budget, evidence) if outcome == "INCONCLUSIVE" else ()
    return Rule("negative flips", outcome, sentence, _reason(outcome), steps)


def _more_for_share(share: float, budget: float, evidence: Evidence) -> tuple[str, ...]:
    if share == budget:
        return ("The share is the budget itself: no number of pictures would decide.",)
    z, z_power = NormalDist().inv_cdf(1 - evidence.alpha), NormalDist().inv_cdf(_POWER)
    spread = z * math.sqrt(budget * (1 - budget)) + z_power * math.sqrt(share * (1 - share))
    distance = abs(budget - share)
    needed = (spread / distance) ** 2 + 1 / distance  # the last term is for whole pictures
    pictures = max(evidence.accuracy.n + 1, math.ceil(needed))
    return (f"About {pictures:,} pictures would decide if the share stays as it is.",)


def _per_class(evidence: Evidence, limits: Limits) -> Rule | None:
    if limits.class_margin is None:
        return None
    margin, drops = limits.class_margin, evidence.classes
    p_values = holm([exceeds(drop.lost, drop.gained, drop.n, margin) for drop in drops])
    bad = [(drop, p) for drop, p in zip(drops, p_values, strict=True) if p < evidence.alpha]
    asked = f"in a class {100 * margin:.2f} pp are allowed (Holm over {len(drops):,} classes)."
    if bad:
        shown = ", ".join(
            f"{drop.name} {points(drop.drop)} pp (p = {p:.2g}, n = {drop.n:,})" for drop, p in bad[:5]
        )
        more = f" and {len(bad) - 5:,} more" if len(bad) > 5 else ""
        return Rule("per class", "FAIL", f"{shown}{more}; {asked}", "The drop is beyond that and no chance.")
    worst, p = drops[0], p_values[0]
    sentence = f"the largest drop is {points(worst.drop)} pp, {worst.name} (p = {p:.2g}); {asked}"
    return Rule("per class", "PASS", sentence, "No class has a drop that is beyond that and no chance.")


def _calibration(evidence: Evidence, limits: Limits) -> Rule | None:
    if limits.calibration is None:
        return None
    if evidence.calibration is None:
        raise InputError("The calibration error needs one label for each picture. Leave its limit out.")
    interval, value = evidence.calibration.interval, evidence.calibration.value
    outcome = outcome_of(interval, limits.calibration)
    sentence = (
        f"the calibration error rises by {points(value)} pp ({1 - 2 * evidence.alpha:.0%} bootstrap interval "
        f"{_interval(interval)}); {100 * limits.calibration:.2f} pp are allowed."
    )
    steps = ("More pictures would shorten the interval.",) if outcome == "INCONCLUSIVE" else ()
    return Rule("calibration", outcome, sentence, _reason(outcome), steps)


def _latency(evidence: Evidence, limits: Limits) -> Rule | None:
    if limits.latency_ratio is None:
        return None
    sides, confidence = (evidence.baseline, evidence.candidate), 1 - 2 * evidence.alpha
    for receipt in sides:
        if not receipt.latency:
            raise ReceiptError(f"{receipt.device!r} is {NO_TIMES}. Leave the limit of the latency out.")
    found = slowdown(*sides, confidence, across_machines=limits.across_machines)
    times = [receipt.latency["total"].p50_ms for receipt in sides]
    outcome = outcome_of(found.interval, limits.latency_ratio)
    sentence = (
        f"beside the reference workload of its own run a picture takes {found.value:.2f} times as long "
        f"({confidence:.0%} interval {found.interval.low:.2f} to {found.interval.high:.2f}; by the clock "
        f"{times[1]:.2f} ms after {times[0]:.2f} ms); {limits.latency_ratio:g} is allowed."
    )
    steps = ("Validate both again on a calmer machine, on more pictures, or with --threads 1.",)
    hot = any(receipt.performance is not None and receipt.performance.throttled for receipt in sides)
    reason = f"{_reason(outcome)}{' Heat slowed the machine down meanwhile.' if hot else ''}"
    return Rule("latency", outcome, sentence, reason, steps if outcome == "INCONCLUSIVE" else ())


def _size(evidence: Evidence, limits: Limits) -> Rule | None:
    if limits.size_ratio is None:
        return None
    before, after = evidence.baseline.size_bytes, evidence.candidate.size_bytes
    what = f"the files have {after / 1e6:.2f} MB after {before / 1e6:.2f} MB"
    return _ratio("size", before, after, limits.size_ratio, what)


def _memory(evidence: Evidence, limits: Limits) -> Rule | None:
    if limits.memory_ratio is None:
        return None
    before, after = (_measured(evidence, side, "peak_memory_bytes") for side in ("baseline", "candidate"))
    what = f"the peak memory is {after / 1e6:.0f} MB after {before / 1e6:.0f} MB"
    return _ratio("memory", before, after, limits.memory_ratio, what)


def _ratio(name: str, before: float, after: float, limit: float, what: str) -> Rule:
    if not before > 0:
        raise ReceiptError(f"The baseline's {name} is {before!r}, so no ratio to it can be limited.")
    within = after <= limit * before
    sentence = f"{what}, a ratio of {after / before:.2f}; {limit:g} is allowed."
    reason = f"The ratio is {'within' if within else 'beyond'} what is allowed."
    return Rule(name, "PASS" if within else "FAIL", sentence, reason)


def _measured(evidence: Evidence, side: str, name: str) -> float:
    """Return a figure of performance of a receipt, which receipts of before do not have."""
    value = getattr(getattr(getattr(evidence, side), "performance", None), name, None)
    if not value:
        raise ReceiptError(
            f"The receipt of the {side} has no {name}, which this limit needs. Validate again with this "
            "edgetl, or leave the limit out."
        )
    return float(value)


def _reason(outcome: Outcome) -> str:
    return {
        "PASS": "The whole interval is within what is allowed.",
        "FAIL": "The whole interval is beyond what is allowed.",
        "INCONCLUSIVE": "These pictures cannot tell whether it is within what is allowed.",
    }[outcome]


def _interval(interval: Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


# In the order of the verdict; the metric that decides comes first and is always asked.
RULES: tuple[Callable[[Evidence, Limits], Rule | None], ...] = (
    _metric,
    _negative_flips,
    _per_class,
    _calibration,
    _latency,
    _size,
    _memory,
)
