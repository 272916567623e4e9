"""From sources to the text of a report: compare, find what changed, look for pictures, explain, draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edgetl.report.album import Album, open_album
from edgetl.report.changes import Change, find_changes
from edgetl.report.facts import Facts, Notify, comparable, compare, refuse_another
from edgetl.report.page import render
from edgetl.report.saliency import Maps, Wish, explain
from edgetl.report.sections.flips import wanted_maps
from edgetl.report.sources import Sources
from edgetl_runtime.asking import Judged, Question
from edgetl_runtime.errors import InputError

_MOST_CARDS = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader wants to see.

    question: what the gate is asked. judged: what it said before, which the report must not contradict.
    data: the pictures; None looks where the run found them. cards: changed pictures to show; saliency: how
    many of them to explain.
    """

    question: Question = field(default_factory=Question)
    judged: Judged | None = None
    data: Path | None = None
    cards: int = 12
    saliency: int = 6

    def __post_init__(self) -> None:
        for name, value in (("cards", self.cards), ("saliency", self.saliency)):
            if not 0 <= value <= _MOST_CARDS:
                raise InputError(f"{name} must be 0 to {_MOST_CARDS} pictures, got {value}.")


def build_report(sources: Sources, wanted: Wanted, *, notify: Notify, created: datetime | None = None) -> str:
    """Return the HTML of a report; `notify` hears of what could not be shown."""
    comparisons = compare(sources, wanted.question)
    if wanted.judged is not None:
        refuse_another(wanted.judged, comparisons)
    changes = find_changes(comparable(sources, comparisons))
    album = open_album(sources, wanted.data, [change.sha256 for change in changes])
    maps = _explain(sources, changes, album, min(wanted.saliency, wanted.cards))
    for note in (album.reason, *maps.notes):
        if note:
            notify(note)
    facts = Facts(
        sources=sources,
        question=wanted.question,
        comparisons=comparisons,
        changes=changes,
        cards=wanted.cards,
        album=album,
        maps=maps,
        created=created or datetime.now(UTC),
    )
    return render(facts)


def _explain(sources: Sources, changes: tuple[Change, ...], album: Album, most: int) -> Maps:
    """Explain the first changes, where there are a bundle and their pictures."""
    if sources.bundle is None or not album.paths:
        return Maps()
    wanted = {
        variant: [
            Wish(sha256, album.paths[sha256], label) for sha256, label in asked if sha256 in album.paths
        ]
        for variant, asked in wanted_maps(sources, changes, most).items()
    }
    return explain(sources.bundle, {variant: wishes for variant, wishes in wanted.items() if wishes})
