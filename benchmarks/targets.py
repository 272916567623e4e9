"""Figures beside what they must reach: a row each, and the table of them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and its limit.

    value: None where it was not measured. at_least: the figure must reach the limit, else stay within it.
    """

    what: str
    value: float | None
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def target(self) -> str:
        """The limit as people read it."""
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}".strip()

    @property
    def outcome(self) -> str:
        """Met, missed, or not measured."""
        if self.value is None:
            return "not measured"
        good = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "met" if good else "missed"

    @property
    def told(self) -> str:
        """The figure as people read it."""
        return "-" if self.value is None else f"{self.value:g} {self.unit}".strip()

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> "Row":
        """Return the row of which `facts` were kept; what follows from it was kept beside it."""
        return Row(*(facts[name] for name in ("what", "value", "limit", "unit", "at_least")))

    def facts(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self) | {"target": self.target, "outcome": self.outcome}


def table(rows: Iterable[Row]) -> str:
    """Return the rows as text: what, measured, target, outcome."""
    lines = [("", "measured", "target", "")]
    for row in rows:
        lines.append((row.what, row.told, row.target, row.outcome))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in cells)
