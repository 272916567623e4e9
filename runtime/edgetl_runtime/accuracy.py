"""The drop of accuracy between two models that answered the same pictures, and the rule that decides on it.

Only the pictures on which exactly one of the two is right say anything: counts in, a decision out.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgetl_runtime.statistics import (
    Interval,
    certifiable_margin,
    corrected_tango,
    mcnemar_exact,
    pictures_needed,
)
from edgetl_runtime.verdict import Outcome, Rule, outcome_of, points

__all__ = ["AccuracyDrop"]

MAX_NEEDED = 10_000_000  # No test set is larger: a greater number means that pictures will not decide.


@dataclass(frozen=True, slots=True)
class AccuracyDrop:
    """What `n` pictures say: `lost` are right in the baseline only, `gained` in the candidate only.

    interval: Tango's with its correction, of the drop, at a confidence of 1 - 2 alpha. It alone decides.
    p_value: of McNemar's exact test, two-sided: whether there is any drop, be it allowed or not.
    """

    n: int
    lost: int
    gained: int
    margin: float
    alpha: float
    interval: Interval
    p_value: float

    @classmethod
    def of(cls, lost: int, gained: int, n: int, margin: float, alpha: float) -> AccuracyDrop:
        """Measure the drop."""
        interval, p_value = corrected_tango(lost, gained, n, 1 - 2 * alpha), mcnemar_exact(lost, gained)
        return cls(n, lost, gained, margin, alpha, interval, p_value)

    @property
    def drop(self) -> float:
        """The share of pictures that the candidate gets wrong on balance."""
        return (self.lost - self.gained) / self.n

    @property
    def outcome(self) -> Outcome:
        """PASS if the whole interval is within the margin, FAIL if the whole of it is beyond."""
        return outcome_of(self.interval, self.margin)

    @property
    def needed(self) -> int | None:
        """The pictures that would decide at the observed rates, a gain not counted on; None if decided."""
        drop = max(0.0, self.drop)
        if self.outcome != "INCONCLUSIVE" or drop == self.margin:
            return None
        needed = pictures_needed(self._discordance, self.margin, drop, self.alpha)
        needed = max(needed, self._deciding(self.n, MAX_NEEDED + 1))
        return needed if needed <= MAX_NEEDED else None

    @property
    def needed_if_equal(self) -> int | None:
        """The pictures that would pass a candidate without a true drop, where that is another number."""
        if self.outcome != "INCONCLUSIVE":
            return None
        needed = pictures_needed(self._discordance, self.margin, 0.0, self.alpha)
        return needed if self.n < needed <= MAX_NEEDED and self.lost > self.gained else None

    @property
    def certifiable_margin(self) -> float:
        """The smallest margin that so many pictures with so many flips can certify."""
        return certifiable_margin(self._discordance, self.n, self.alpha)

    @property
    def _discordance(self) -> float:
        return (self.lost + self.gained) / self.n

    def _deciding(self, few: int, many: int) -> int:
        """Return how many pictures decide at just the observed rates, more than `few` and at most `many`."""
        while many - few > 1 + few // 1_000:
            middle = (few + many) // 2
            lost, gained = (count * middle / self.n for count in (self.lost, self.gained))
            interval = corrected_tango(lost, gained, middle, 1 - 2 * self.alpha)
            undecided = outcome_of(interval, self.margin) == "INCONCLUSIVE"
            few, many = (middle, many) if undecided else (few, middle)
        return many

    def rule(self) -> Rule:
        """Say the decision, why, and what to do next."""
        sentence = (
            f"the drop of accuracy is {points(self.drop)} pp on {self.n:,} pictures "
            f"({1 - 2 * self.alpha:.0%} interval {points(self.interval.low)} to "
            f"{points(self.interval.high)}); {100 * self.margin:.2f} pp are allowed."
        )
        return Rule("accuracy", self.outcome, sentence, self._reason(), self._next_steps())

    def _reason(self) -> str:
        if self.outcome == "PASS":
            return "The whole interval is within what is allowed."
        if self.outcome == "FAIL":
            return "The whole interval is beyond what is allowed."
        return "The interval reaches beyond what is allowed, so these pictures cannot tell."

    def _next_steps(self) -> tuple[str, ...]:
        if self.outcome != "INCONCLUSIVE":
            return ()
        steps = ["The drop is so near the margin that no practical number of pictures would decide."]
        if self.needed is not None:
            steps = [f"About {self.needed:,} pictures would decide if the rates stay as they are."]
        if self.needed_if_equal is not None:
            steps.append(f"If in truth nothing is lost, {self.needed_if_equal:,} pictures would show it.")
        least = f"{100 * self.certifiable_margin:.2f} pp"
        return (*steps, f"{self.n:,} pictures with so many flips can certify {least} at best.")
