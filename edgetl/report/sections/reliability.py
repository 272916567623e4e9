"""Whether confidence means what it says: the share of right answers at each level of confidence."""

from dataclasses import dataclass

import numpy as np

from edgetl.report.chart import Scale
from edgetl.report.facts import Facts, Missing
from edgetl.report.sources import Measured
from edgetl_runtime.metrics import Figure
from edgetl_runtime.statistics import wilson

BINS = 10
LEFT, RIGHT, TOP, BOTTOM, FOOT = 42, 312, 10, 170, 214
_MOST_RECEIPTS = 6


@dataclass(frozen=True, slots=True)
class Bin:
    """The pictures answered with a confidence between two tenths.

    x: the place of their mean confidence; y, low, high: of the share that is right and its 95 % interval.
    left, width, top: of the bar that counts them, below the diagram.
    """

    text: str
    x: float
    y: float
    low: float
    high: float
    left: float
    width: float
    top: float


@dataclass(frozen=True, slots=True)
class Diagram:
    """The bins of a receipt, and its expected calibration error where it was measured."""

    name: str
    bins: tuple[Bin, ...]
    error: Figure | None


@dataclass(frozen=True, slots=True)
class Context:
    """A diagram for each receipt, all to one scale; `more` receipts are not shown."""

    diagrams: tuple[Diagram, ...]
    ticks: tuple[tuple[float, float, str], ...]
    more: int


def context(facts: Facts) -> Context | Missing:
    """Bin the answers by their confidence."""
    receipts = [one for one in facts.sources.receipts if one.receipt.task == "single_label"]
    if not receipts:
        return Missing("give receipts of pictures with one label each")
    x, y = Scale(0, 1, LEFT, RIGHT), Scale(0, 1, BOTTOM, TOP)
    ticks = tuple((x(tick), y(tick), f"{tick:.0%}") for tick in (0.0, 0.25, 0.5, 0.75, 1.0))
    shown = receipts[:_MOST_RECEIPTS]
    return Context(tuple(_diagram(one, x, y) for one in shown), ticks, len(receipts) - len(shown))


def _diagram(measured: Measured, x: Scale, y: Scale) -> Diagram:
    predictions = measured.receipt.predictions
    confidence, right = predictions.confidence, predictions.right
    bin_of = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    n, k, total = (np.bincount(bin_of, weights, BINS) for weights in (None, right, confidence))
    heights = Scale(0, float(n.max()), FOOT, BOTTOM + 16)
    bins = []
    for place in np.flatnonzero(n):
        share, mean, interval = k[place] / n[place], total[place] / n[place], wilson(k[place], n[place])
        left, end = x(place / BINS), x((place + 1) / BINS)
        bins.append(
            Bin(
                f"{n[place]:,.0f} answers of about {mean:.0%} confidence: {share:.0%} right",
                x(mean),
                y(share),
                y(interval.low),
                y(interval.high),
                left + 1,
                round(end - left - 2, 2),
                heights(n[place]),
            )
        )
    error = measured.receipt.figures.get("expected_calibration_error")
    return Diagram(measured.name, tuple(bins), error)
