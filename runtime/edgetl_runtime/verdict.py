"""The verdict of the gate: numbers, and the sentences that say what they mean. It compares nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgetl_runtime.statistics import Interval

__all__ = ["Difference", "Flip", "Outcome", "Verdict", "points"]

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]

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
class Verdict:
    """What the gate found. Shares are ratios; a drop is positive where the candidate is worse.

    before, after: the accuracy of baseline and candidate on the same `n` pictures; drop: their difference.
    interval: Tango's, of the drop, at a confidence of 1 - 2 alpha.
    lost, gained: the pictures that only the baseline, and that only the candidate, gets right.
    p_value: of McNemar's exact test, two-sided.
    needed: pictures that would decide if the rates stayed as observed; None if decided, or if none would.
    needed_if_equal: pictures that would pass a candidate without a true drop; None if that is `n` or fewer.
    certifiable_margin: the smallest margin that `n` pictures with so many flips can certify.
    balanced_drop: the drop of balanced accuracy, for information; None in a multi-label task.
    flips: the lost pictures, then the gained, each from the candidate's most confident answer on.
    """

    outcome: Outcome
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
    flips: tuple[Flip, ...]

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
        return " ".join((self.finding(), self.reason(), *self.next_steps()))

    def finding(self) -> str:
        """Say the outcome and the numbers behind it."""
        return (
            f"{self.outcome}: the drop of accuracy is {points(self.drop)} pp on {self.n:,} pictures "
            f"({self.confidence:.0%} interval {points(self.interval.low)} to {points(self.interval.high)}); "
            f"{100 * self.margin:.2f} pp are allowed."
        )

    def reason(self) -> str:
        """Say why these numbers mean this outcome."""
        if self.outcome == "PASS":
            return "The whole interval is within what is allowed."
        if self.outcome == "INCONCLUSIVE":
            return "The interval reaches beyond what is allowed, so these pictures cannot tell."
        if self.interval.low > self.margin:
            return "The whole interval is beyond what is allowed."
        return f"The drop is beyond what is allowed, and hardly chance (McNemar p = {self.p_value:.2g})."

    def next_steps(self) -> tuple[str, ...]:
        """Say how many pictures would decide; empty where the gate has decided."""
        if self.outcome != "INCONCLUSIVE":
            return ()
        steps = ["The drop is so near the margin that no practical number of pictures would decide."]
        if self.needed is not None:
            steps = [f"About {self.needed:,} pictures would decide if the rates stay as they are."]
        if self.needed_if_equal is not None:
            steps.append(f"If in truth nothing is lost, {self.needed_if_equal:,} pictures would show it.")
        least = f"{100 * self.certifiable_margin:.2f} pp"
        return (*steps, f"{self.n:,} pictures with so many flips can certify {least} at best.")


def points(share: float) -> str:
    """Return a difference of shares in percentage points, signed: 0.004 is +0.40."""
    return f"{100 * share:+.2f}" if abs(share) >= 0.00005 else "0.00"
