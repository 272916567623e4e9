"""The pictures whose answer changed: cards for the first of them, and data for a table of all."""

from collections import Counter
from dataclasses import dataclass

from edgetl.report.album import Thumbnail, data_uri, thumbnail
from edgetl.report.changes import KINDS, Answer, Change, Kind
from edgetl.report.facts import Facts, Missing
from edgetl.report.saliency import Maps, Saliency
from edgetl.report.sources import Sources

VIEW = 96


@dataclass(frozen=True, slots=True)
class Cell:
    """A covered cell of a map: its place and side in the drawing, and how much it mattered, 0–1."""

    x: float
    y: float
    side: float
    heat: float


@dataclass(frozen=True, slots=True)
class Map:
    """What spoke for a class in a variant: the picture as it saw it, and the cells that mattered.

    caption: the class and its probability here. here: what this machine answers, where the receipt has
    another answer; else empty.
    """

    name: str
    caption: str
    here: str
    text: str
    uri: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A changed picture to look at."""

    change: Change
    name: str
    thumbnail: Thumbnail | None
    maps: tuple[Map, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Cards, and the table as the page's script reads it.

    counts: by receipt, then by kind. disagrees: whether a map is of another answer than the receipt's.
    """

    baseline: str
    counts: dict[str, dict[Kind, int]]
    cards: tuple[Card, ...]
    disagrees: bool
    table: dict[str, object]
    notes: tuple[str, ...]


def context(facts: Facts) -> Context | Missing:
    """Show what changed between the baseline and the others."""
    if len(facts.sources.receipts) < 2:
        return Missing("give two receipts of the same pictures")
    names = [one.measured.name for one in facts.comparisons if one.verdict is not None]
    if not names:
        return Missing("no receipt answers for the pictures of the baseline")
    counts = {name: _counts(facts.changes, name) for name in names}
    cards = tuple(_card(facts, change) for change in facts.changes[: facts.cards])
    return Context(
        baseline=facts.sources.receipts[0].name,
        counts=counts,
        cards=cards,
        disagrees=any(one.here for card in cards for one in card.maps),
        table=_table(facts),
        notes=tuple(note for note in (facts.album.reason, *facts.maps.notes) if note),
    )


def _counts(changes: tuple[Change, ...], name: str) -> dict[Kind, int]:
    found = Counter(change.kind_of(name) for change in changes)
    return {kind: found[kind] for kind in KINDS}


def wanted_maps(sources: Sources, changes: tuple[Change, ...], most: int) -> dict[str, list[tuple[str, str]]]:
    """Return, by variant, hash and class of what is to be explained: of the first changes, the two answers.

    Only answers of the bundle at hand can be explained.
    """
    variants = _explainable(sources)
    wanted: dict[str, dict[tuple[str, str], None]] = {}
    for change in changes[:most]:
        for answer, label in _explained(sources, change):
            if answer.name in variants:
                wanted.setdefault(variants[answer.name], {})[change.sha256, label] = None
    return {variant: list(asked) for variant, asked in wanted.items()}


def _explainable(sources: Sources) -> dict[str, str]:
    """Return the variant of each receipt that measured the bundle at hand."""
    manifest = sources.manifest
    return {
        one.name: one.receipt.variant
        for one in sources.receipts
        if manifest is not None
        and one.receipt.bundle.id == manifest.hash
        and one.receipt.classes == manifest.classes
    }


def _explained(sources: Sources, change: Change) -> tuple[tuple[Answer, str], ...]:
    """Return the two answers of a change, each with the class that explains it.

    It is what the receipt says; of several labels, the first that only one of the two has, for both.
    """
    before, other = change.answers[0], change.answers[change.first_other]
    if sources.receipts[0].receipt.task == "single_label":
        return (before, before.labels[0]), (other, other.labels[0])
    both = (*before.labels, *other.labels)
    label = next(one for one in both if not (one in before.labels and one in other.labels))
    return (before, label), (other, label)


def _card(facts: Facts, change: Change) -> Card:
    path = facts.album.paths.get(change.sha256)
    maps = _maps(facts.sources, facts.maps, change)
    small = thumbnail(path) if path is not None and not maps else None
    return Card(change, path.name if path else change.sha256[:12], small, maps)


def _maps(sources: Sources, maps: Maps, change: Change) -> tuple[Map, ...]:
    """Draw the maps of both answers in one scale, so that they can be held against each other."""
    variants = _explainable(sources)
    found = [
        (answer, maps.found[key])
        for answer, label in _explained(sources, change)
        if (key := (variants.get(answer.name, ""), change.sha256, label)) in maps.found
    ]
    most = max((float(saliency.drops.max()) for _, saliency in found), default=0.0)
    return tuple(_map(answer, saliency, most) for answer, saliency in found)


def _map(answer: Answer, saliency: Saliency, most: float) -> Map:
    from PIL import Image

    picture = Image.fromarray(saliency.pixels).resize((VIEW, VIEW), Image.Resampling.BOX)
    grid = len(saliency.drops)
    side = VIEW / grid
    cells = tuple(
        Cell(round(column * side, 2), round(row * side, 2), round(side, 2), round(drop / most, 2))
        for row, line in enumerate(saliency.drops.tolist())
        for column, drop in enumerate(line)
        if most > 0 and drop / most >= 0.05
    )
    here = "" if saliency.answer == answer.labels else "|".join(saliency.answer) or "none"
    caption = f"{saliency.label} {saliency.confidence:.2f}"
    return Map(answer.name, caption, here, _said(answer, saliency, here), data_uri(picture), cells)


def _said(answer: Answer, saliency: Saliency, here: str) -> str:
    """Say in words where the strongest cell is."""
    drops, grid = saliency.drops, len(saliency.drops)
    row, column = divmod(int(drops.argmax()), grid)
    most = float(drops.max())
    where = f"Covering row {row + 1}, column {column + 1} of {grid} costs {saliency.label} the most"
    said = f"{where}: {100 * most:.0f} points of probability." if most > 0 else "No cell speaks for it."
    other = f" On this machine it says {here}, and the receipt {answer.text}." if here else ""
    return f"{saliency.label} in {answer.name}. {said}{other}"


def _table(facts: Facts) -> dict[str, object]:
    """Return all changes, compactly: texts are numbers in `words`, confidences have three decimals."""
    words: dict[str, int] = {}

    def number(text: str) -> int:
        return words.setdefault(text, len(words))

    rows = [
        [
            change.sha256[:16],
            path.name if (path := facts.album.paths.get(change.sha256)) else "",
            change.kind,
            number(change.target),
            *(
                part
                for answer in change.answers
                for part in (number(answer.text), round(answer.confidence, 3))
            ),
        ]
        for change in facts.changes
    ]
    names = [answer.name for answer in facts.changes[0].answers] if facts.changes else []
    return {"names": names, "words": list(words), "rows": rows}
