"""The verdict of the gate: its rules, numbers, and the sentences that say what they mean; it compares none.

Every rule has an outcome of its own, and the verdict's is the worst of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from edgetl_runtime.statistics import Interval

__all__ = [
    "ClassDrop",
    "Difference",
    "Flip",
    "Metric",
    "Outcome",
    "Rule",
    "Verdict",
    "outcome_of",
    "points",
    "worst",
]

Outcome = Literal["PASS", "INCONCLUSIVE", "FAIL"]  # from the best to the worst
Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]

_EXIT_CODES = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}


@dataclass(frozen=True, slots=True)
class Flip:
    """A picture on which exactly one of the two models is right; several labels are joined with `|`."""

    sha256: str
    target: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """An estimate with its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class ClassDrop:
    """What one class lost: of its `n` pictures, and how likely chance does that.

    p_value: of McNemar's exact test against no drop, one-sided, after Holm's correction over the classes; it
    informs, and the rule for single classes tests a drop of its own margin.
    """

    name: str
    drop: float
    lost: int
    gained: int
    n: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule of the gate found.

    sentence: the numbers and what is allowed. reason: why they mean this outcome.
    next_steps: what would decide; empty if decided.
    """

    name: str
    outcome: Outcome
    sentence: str
    reason: str = ""
    next_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found. Shares are ratios; a drop is positive where the candidate is worse.

    outcome: the worst of the rules. rules: everything that was asked, the metric that decides first.
    before, after: the accuracy of baseline and candidate on the same `n` pictures; drop: their difference.
    interval: Tango's with its correction, of the drop, at a confidence of 1 - 2 alpha.
    lost, gained: the pictures that only the baseline, and that only the candidate, gets right.
    p_value: of McNemar's exact test, two-sided; it informs and does not decide.
    needed: pictures that would decide on accuracy if the rates stayed; None if decided, or if none would.
    needed_if_equal: pictures that would pass a candidate without a true drop; None if that is `n` or fewer.
    certifiable_margin: the smallest margin that `n` pictures with so many flips can certify.
    balanced_drop: the drop of balanced accuracy; None in a multi-label task.
    calibration_drift: the rise of the expected calibration error; None in a multi-label task.
    classes: of each class that the pictures show, the largest drop first.
    flips: the lost pictures, then the gained, each from the candidate's most confident answer on.
    """

    outcome: Outcome
    rules: tuple[Rule, ...]
    before: float
    after: float
    drop: float
    interval: Interval
    n: int
    lost: int
    gained: int
    p_value: float
    margin: float
    alpha: float
    needed: int | None
    needed_if_equal: int | None
    certifiable_margin: float
    balanced_drop: Difference | None
    calibration_drift: Difference | None
    classes: tuple[ClassDrop, ...]
    flips: tuple[Flip, ...]

    @property
    def deciding(self) -> Rule:
        """The first rule with the worst outcome."""
        return worst(self.rules)

    @property
    def exit_code(self) -> int:
        """0 for PASS, 1 for FAIL, 3 for INCONCLUSIVE."""
        return _EXIT_CODES[self.outcome]

    @property
    def confidence(self) -> float:
        """The confidence of the intervals."""
        return 1 - 2 * self.alpha

    def describe(self) -> str:
        """Say in sentences what was found, why, and what to do next."""
        return " ".join(filter(None, (self.finding(), self.reason(), *self.next_steps())))

    def finding(self) -> str:
        """Say the outcome and the numbers behind it."""
        return f"{self.outcome}: {self.deciding.sentence}"

    def reason(self) -> str:
        """Say why these numbers mean this outcome."""
        return self.deciding.reason

    def next_steps(self) -> tuple[str, ...]:
        """Say what would decide; empty where the gate has decided."""
        return self.deciding.next_steps


def outcome_of(interval: Interval, limit: float) -> Outcome:
    """Return PASS if all of an interval is within the limit, FAIL if all is beyond, else INCONCLUSIVE."""
    if interval.high <= limit:
        return "PASS"
    return "FAIL" if interval.low > limit else "INCONCLUSIVE"


def worst(rules: Sequence[Rule]) -> Rule:
    """Return the first of the rules that none is worse than."""
    return max(rules, key=lambda rule: get_args(Outcome).index(rule.outcome))


def points(share: float) -> str:
    """Return a difference of shares in percentage points, signed: 0.004 is +0.40."""
    return f"{100 * share:+.2f}" if abs(share) >= 0.00005 else "0.00"
