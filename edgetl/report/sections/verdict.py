"""The verdict on top: each receipt against the baseline, by every rule that was asked, and what follows."""

import re
from dataclasses import dataclass

from edgetl.report.chart import Scale, spanning
from edgetl.report.facts import Comparison, Facts, Missing
from edgetl_runtime.metrics import Figure
from edgetl_runtime.verdict import Rule, Verdict, points

_NOT_COMPARED = "NOT COMPARED"
# From the worst on: one candidate that fails is what matters.
_ORDER = ("FAIL", _NOT_COMPARED, "INCONCLUSIVE", "PASS")


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What one rule of the gate says of a candidate."""

    name: str
    outcome: str
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate: its outcome, the rules that were asked, and its drop of accuracy.

    note: why there is no verdict, or why `check` would give none. drop, low, high: places on the axis, 0–100;
    numbers: the same in words, empty without a verdict.
    """

    name: str
    outcome: str
    rules: tuple[RuleRow, ...] = ()
    note: str = ""
    numbers: str = ""
    drop: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """The worst outcome, or the figure of a lone receipt; the axis is in points of accuracy lost.

    margin: its place on the axis; None where another metric than accuracy has it.
    """

    outcome: str
    headline: str
    baseline: str
    n: int
    figure: Figure | None
    rows: tuple[Row, ...]
    zero: float
    margin: float | None
    ticks: tuple[tuple[float, str], ...]


def context(facts: Facts) -> Context | Missing:
    """Set every verdict on one axis."""
    if not facts.sources.receipts:
        return Missing("give receipts: edgetl-runtime validate BUNDLE DATA --out RECEIPT.json")
    baseline = facts.sources.receipts[0]
    margin = facts.question.margin if facts.question.limits.metric == "accuracy" else None
    scale = _axis(facts, margin)
    rows = tuple(_row(one, scale) for one in facts.comparisons)
    outcome = next((name for name in _ORDER if name in {row.outcome for row in rows}), "")
    return Context(
        outcome=outcome,
        headline=_headline(outcome, rows),
        baseline=baseline.name,
        n=len(baseline.receipt.predictions),
        figure=next(iter(baseline.receipt.figures.values()), None),
        rows=rows,
        zero=scale(0.0),
        margin=None if margin is None else scale(margin),
        ticks=tuple((scale(tick), _minus(f"{100 * tick:+g}" if tick else "0")) for tick in scale.ticks()),
    )


def _headline(outcome: str, rows: tuple[Row, ...]) -> str:
    """Say what the worst outcome is about."""
    asked = dict.fromkeys(rule.name for row in rows for rule in row.rules)
    worst = dict.fromkeys(rule.name for row in rows for rule in row.rules if rule.outcome == outcome)
    if outcome == "FAIL":
        whose = "its limit" if len(worst) == 1 else "their limits"
        beyond = f"Beyond {whose}: {', '.join(worst)}."
        return "Accuracy was lost." if list(worst) == ["accuracy"] else beyond
    if outcome == "INCONCLUSIVE":
        return "These pictures cannot tell." if len(asked) == 1 else f"Undecided: {', '.join(worst)}."
    if outcome == "PASS":
        lost = "No accuracy was lost beyond what is allowed."
        return lost if list(asked) == ["accuracy"] else f"All within their limits: {', '.join(asked)}."
    return "Some receipts cannot be held against the baseline." if outcome else ""


def _axis(facts: Facts, margin: float | None) -> Scale:
    verdicts = [one.verdict for one in facts.comparisons if one.verdict is not None]
    ends = [end for one in verdicts for end in (one.interval.low, one.interval.high, one.drop)]
    return spanning([0.0, *([] if margin is None else [margin, -margin]), *ends])


def _row(comparison: Comparison, scale: Scale) -> Row:
    verdict, name = comparison.verdict, comparison.measured.name
    if verdict is None:
        return Row(name, _NOT_COMPARED, note=comparison.refused)
    return Row(
        name,
        verdict.outcome,
        tuple(map(_rule, verdict.rules)),
        f"`edgetl check` refuses these two: {comparison.refused}" if comparison.refused else "",
        _numbers(verdict),
        scale(verdict.drop),
        scale(verdict.interval.low),
        scale(verdict.interval.high),
    )


def _rule(rule: Rule) -> RuleRow:
    said = " ".join(filter(None, (rule.sentence, rule.reason, *rule.next_steps)))
    if said.startswith(("the ", "a ")):  # and not with the name of a class
        said = said[:1].upper() + said[1:]
    return RuleRow(rule.name, rule.outcome, _minus(said))


def _numbers(verdict: Verdict) -> str:
    low, high = points(verdict.interval.low), points(verdict.interval.high)
    return f"drop {points(verdict.drop)} pp, {verdict.confidence:.0%} interval {low} to {high}"


def _minus(text: str) -> str:
    """Set the sign of negative numbers as a minus, not as a hyphen."""
    return re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)
