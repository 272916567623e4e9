"""Scales and ticks: from numbers to places in a drawing. Knows no units and draws nothing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgetl_runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight map from [low, high] to [start, end]; a value outside lands on the nearer end."""

    low: float
    high: float
    start: float = 0.0
    end: float = 100.0

    def __post_init__(self) -> None:
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise InputError(f"A scale needs finite low < high, got {self.low!r} and {self.high!r}.")

    def __call__(self, value: float) -> float:
        """Return the place of a value, to two decimals."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int = 5) -> tuple[float, ...]:
        """Return at most `most` round values within the scale: multiples of 1, 2 or 5 and a power of ten."""
        span = self.high - self.low
        power = 10.0 ** math.floor(math.log10(span / most))
        for step in (power * factor for factor in (1, 2, 5, 10, 20, 50)):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first < most:
                return tuple(round(k * step, 12) for k in range(first, last + 1))
        raise AssertionError("a step of fifty times span / most leaves one tick")


def spanning(values: Iterable[float], start: float = 0.0, end: float = 100.0, margin: float = 0.06) -> Scale:
    """Return a scale that holds all values, with a margin at both ends as a share of their range."""
    held = list(values)
    low, high = min(held), max(held)
    air = margin * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - air, high + air, start, end)


def polyline(points: Sequence[tuple[float, float]]) -> str:
    """Return the `points` attribute of a polyline."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)


LINE = 14.0
_CHARACTER = 6.3  # how wide one is at most, on average, in the panels' type of 11 units


@dataclass(frozen=True, slots=True)
class Label:
    """Where a text begins, in the units of a panel."""

    x: float
    y: float


def labels_above(texts: Sequence[str], xs: Sequence[float], top: float, right: float) -> tuple[Label, ...]:
    """Place a label above each mark, in as many lines as keep them apart, the lowest just above `top`.

    Returns:
        In the order of the texts. A label begins at its mark, or earlier where it would pass `right`.
    """
    starts: list[float] = []  # of the lines, the lowest first; labels come from the right
    labels: dict[int, Label] = {}
    for place in sorted(range(len(texts)), key=lambda place: (-xs[place], place)):
        width = _CHARACTER * len(texts[place])
        x = max(0.0, min(xs[place] - 3, right - width))
        line = next((line for line, start in enumerate(starts) if x + width + 6 <= start), len(starts))
        starts[line : line + 1] = [x]
        labels[place] = Label(round(x, 2), round(top - 6 - LINE * line, 2))
    return tuple(labels[place] for place in range(len(texts)))


def head_of(labels: Sequence[Label]) -> float:
    """Return how far the labels reach above the panel's own top at 0."""
    return max(0.0, LINE - min((label.y for label in labels), default=LINE))
