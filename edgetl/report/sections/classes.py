"""How well each class is found, with its interval, for every receipt side by side."""

import math
from dataclasses import dataclass

from edgetl.report.chart import Scale
from edgetl.report.facts import Facts, Missing
from edgetl_runtime.metrics import Figure

_MOST = 100


@dataclass(frozen=True, slots=True)
class Strip:
    """A figure and its interval as places on an axis of 0–100."""

    figure: Figure
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """A class; `strips` holds None for a receipt whose pictures do not show it."""

    name: str
    n: int
    strips: tuple[Strip | None, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Classes from the weakest on; `more` do better.

    figure: what is shown of each, such as recall. from_share: where the strips begin, 0–1; they end at 1.
    """

    names: tuple[str, ...]
    figure: str
    from_share: float
    rows: tuple[Row, ...]
    more: int


def context(facts: Facts) -> Context | Missing:
    """List the classes by the baseline's figure, the weakest first."""
    receipts = [one for one in facts.sources.receipts if one.receipt.per_class]
    if not receipts:
        return Missing("give receipts that show the classes")
    baseline = receipts[0].receipt
    ordered = sorted(baseline.per_class, key=lambda name: (baseline.per_class[name].value, name))
    shown = [
        one.receipt.per_class[k] for one in receipts for k in ordered[:_MOST] if k in one.receipt.per_class
    ]
    from_share = min(0.9, math.floor(10 * min(figure.low for figure in shown)) / 10)
    scale = Scale(from_share, 1)
    rows = [
        Row(
            name,
            baseline.per_class[name].n,
            tuple(_strip(one.receipt.per_class.get(name), scale) for one in receipts),
        )
        for name in ordered[:_MOST]
    ]
    figure = next(iter(baseline.per_class.values())).name
    return Context(
        tuple(one.name for one in receipts), figure, from_share, tuple(rows), max(0, len(ordered) - _MOST)
    )


def _strip(figure: Figure | None, scale: Scale) -> Strip | None:
    if figure is None:
        return None
    return Strip(figure, scale(figure.value), scale(figure.low), scale(figure.high))
