"""What every section draws on, gathered once: sources, verdicts and the pictures that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from edgetl.report.album import Album
from edgetl.report.changes import Change
from edgetl.report.saliency import Maps
from edgetl.report.sources import Measured, Sources
from edgetl_runtime.asking import Judged, Question
from edgetl_runtime.errors import InputError, ReceiptError
from edgetl_runtime.gating import gate
from edgetl_runtime.verdict import Verdict

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A receipt held against the baseline: a verdict, or the reason why there is none.

    refused: why `check` gives none as it was asked. Where there is one all the same, the receipts are of
    different machines, which a report sets side by side.
    """

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

    question: what the gate was asked. changes: every picture whose answer is not the baseline's somewhere.
    cards: how many of them are shown as cards. album: where pictures lie. maps: what mattered to the
    variants, of some pictures.
    """

    sources: Sources
    question: Question
    comparisons: tuple[Comparison, ...]
    changes: tuple[Change, ...]
    cards: int
    album: Album
    maps: Maps
    created: datetime


def compare(sources: Sources, question: Question) -> tuple[Comparison, ...]:
    """Hold every receipt but the first against the first."""
    if not sources.receipts:
        return ()
    baseline, *others = sources.receipts
    return tuple(_comparison(baseline, other, question) for other in others)


def _comparison(baseline: Measured, other: Measured, question: Question) -> Comparison:
    def judge(across_machines: bool) -> Verdict:
        limits = replace(question.limits, across_machines=across_machines)
        return gate(
            baseline.receipt, other.receipt, margin=question.margin, alpha=question.alpha, limits=limits
        )

    try:
        return Comparison(other, judge(question.limits.across_machines))
    except ReceiptError as error:
        refused = str(error)
    try:
        return Comparison(other, judge(across_machines=True), refused)
    except ReceiptError:
        return Comparison(other, None, refused)


def refuse_another(judged: Judged, comparisons: Sequence[Comparison]) -> None:
    """Refuse a file of `check` that is not of these receipts.

    Raises:
        InputError: no comparison is what the file says.
    """
    verdicts = [one.verdict for one in comparisons if one.verdict is not None]
    if not any(map(judged.is_of, verdicts)):
        raise InputError(
            f"{judged.path} says {judged.outcome} with {judged.lost:,} lost and {judged.gained:,} gained of "
            f"{judged.n:,} pictures, and none of these receipts does against the first. Give the receipts "
            "that `check` compared, its baseline first, or leave --check out."
        )


def comparable(sources: Sources, comparisons: tuple[Comparison, ...]) -> tuple[Measured, ...]:
    """Return the baseline and the receipts that answer for the same pictures."""
    return (*sources.receipts[:1], *(one.measured for one in comparisons if one.verdict is not None))
