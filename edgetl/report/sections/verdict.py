"""The verdict on top: each receipt against the baseline, and what follows from it."""

import re
from dataclasses import dataclass

from edgetl.report.chart import Scale, spanning
from edgetl.report.facts import Comparison, Facts, Missing
from edgetl_runtime.metrics import Figure
from edgetl_runtime.verdict import Verdict, points

# From the worst on: one candidate that fails is what matters.
_HEADLINES = {
    "FAIL": "Accuracy was lost.",
    "NOT COMPARED": "Some receipts cannot be held against the baseline.",
    "INCONCLUSIVE": "These pictures cannot tell.",
    "PASS": "No accuracy was lost beyond what is allowed.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate: its outcome in words, and its drop with the interval as places on the axis, 0–100."""

    name: str
    outcome: str
    sentences: str
    numbers: str = ""
    drop: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """The worst outcome, or the figure of a lone receipt; the axis is in points of accuracy lost."""

    outcome: str
    headline: str
    baseline: str
    n: int
    figure: Figure | None
    rows: tuple[Row, ...]
    zero: float
    margin: float
    ticks: tuple[tuple[float, str], ...]


def context(facts: Facts) -> Context | Missing:
    """Set every verdict on one axis."""
    if not facts.sources.receipts:
        return Missing("give receipts: edgetl-runtime validate BUNDLE DATA --out RECEIPT.json")
    baseline = facts.sources.receipts[0]
    scale = _axis(facts)
    rows = tuple(_row(one, scale) for one in facts.comparisons)
    outcomes = {row.outcome for row in rows}
    outcome = next((name for name in _HEADLINES if name in outcomes), "")
    return Context(
        outcome=outcome,
        headline=_HEADLINES.get(outcome, ""),
        baseline=baseline.name,
        n=len(baseline.receipt.predictions),
        figure=next(iter(baseline.receipt.figures.values()), None),
        rows=rows,
        zero=scale(0.0),
        margin=scale(facts.margin),
        ticks=tuple((scale(tick), _minus(points(tick))) for tick in scale.ticks()),
    )


def _axis(facts: Facts) -> Scale:
    verdicts = [one.verdict for one in facts.comparisons if one.verdict is not None]
    ends = [end for one in verdicts for end in (one.interval.low, one.interval.high, one.drop)]
    return spanning([0.0, facts.margin, -facts.margin, *ends])


def _row(comparison: Comparison, scale: Scale) -> Row:
    verdict, name = comparison.verdict, comparison.measured.name
    if verdict is None:
        return Row(name, "NOT COMPARED", comparison.refused)
    sentences = " ".join(
        (verdict.finding().removeprefix(f"{verdict.outcome}: "), verdict.reason(), *verdict.next_steps())
    )
    places = (scale(verdict.drop), scale(verdict.interval.low), scale(verdict.interval.high))
    return Row(
        name, verdict.outcome, _minus(sentences[:1].upper() + sentences[1:]), _numbers(verdict), *places
    )


def _numbers(verdict: Verdict) -> str:
    low, high = points(verdict.interval.low), points(verdict.interval.high)
    return f"drop {points(verdict.drop)} pp, {verdict.confidence:.0%} interval {low} to {high}"


def _minus(text: str) -> str:
    """Set the sign of negative numbers as a minus, not as a hyphen."""
    return re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)
