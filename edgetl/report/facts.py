"""What every section draws on, gathered once: sources, verdicts and the pictures that changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from edgetl.report.album import Album
from edgetl.report.changes import Change
from edgetl.report.saliency import Maps
from edgetl.report.sources import Measured, Sources
from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.gating import gate
from edgetl_runtime.rules import Limits
from edgetl_runtime.verdict import Verdict

Notify = Callable[[str], None]
# A report sets devices side by side; `check` is what refuses them.
_SIDE_BY_SIDE = Limits(across_machines=True)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A receipt held against the baseline: a verdict, or the reason why there is none."""

    measured: Measured
    verdict: Verdict | None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A section that cannot be shown, and what would let it be."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """All that is known when the page is drawn.

    changes: every picture whose answer is not the baseline's somewhere. cards: how many of them are shown as
    cards. album: where pictures lie. maps: what mattered to the variants, of some pictures.
    """

    sources: Sources
    margin: float
    comparisons: tuple[Comparison, ...]
    changes: tuple[Change, ...]
    cards: int
    album: Album
    maps: Maps
    created: datetime


def compare(sources: Sources, margin: float) -> tuple[Comparison, ...]:
    """Hold every receipt but the first against the first; `margin` is a ratio."""
    if not sources.receipts:
        return ()
    baseline, *others = sources.receipts
    return tuple(_comparison(baseline, other, margin) for other in others)


def _comparison(baseline: Measured, other: Measured, margin: float) -> Comparison:
    try:
        return Comparison(other, gate(baseline.receipt, other.receipt, margin=margin, limits=_SIDE_BY_SIDE))
    except ReceiptError as error:
        return Comparison(other, None, str(error))


def comparable(sources: Sources, comparisons: tuple[Comparison, ...]) -> tuple[Measured, ...]:
    """Return the baseline and the receipts that answer for the same pictures."""
    return (*sources.receipts[:1], *(one.measured for one in comparisons if one.verdict is not None))
