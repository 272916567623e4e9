"""The pictures whose answer changed: cards for the first of them, and data for a table of all."""

from dataclasses import dataclass

from edgetl.report.album import Thumbnail, data_uri, thumbnail
from edgetl.report.changes import Change
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
    """What mattered to a variant: the picture as it saw it, and the cells that spoke for its answer."""

    name: str
    label: str
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
    """Cards, and the table as the page's script reads it. counts: by kind."""

    baseline: str
    others: tuple[str, ...]
    counts: dict[str, int]
    cards: tuple[Card, ...]
    table: dict[str, object]
    notes: tuple[str, ...]


def context(facts: Facts) -> Context | Missing:
    """Show what changed between the baseline and the others."""
    if len(facts.sources.receipts) < 2:
        return Missing("give two receipts of the same pictures")
    names = [one.measured.name for one in facts.comparisons if one.verdict is not None]
    if not names:
        return Missing("no receipt answers for the pictures of the baseline")
    counts = dict.fromkeys(("lost", "gained", "changed"), 0)
    for change in facts.changes:
        counts[change.kind] += 1
    return Context(
        baseline=facts.sources.receipts[0].name,
        others=tuple(names),
        counts=counts,
        cards=tuple(_card(facts, change) for change in facts.changes[: facts.cards]),
        table=_table(facts),
        notes=tuple(note for note in (facts.album.reason, *facts.maps.notes) if note),
    )


def wanted_maps(sources: Sources, changes: tuple[Change, ...], most: int) -> dict[str, list[str]]:
    """Return, by variant, the hashes of the pictures to explain: of the first changes, the two answers.

    Only answers of the bundle at hand can be explained.
    """
    manifest = sources.manifest
    variants = {
        one.name: one.receipt.variant
        for one in sources.receipts
        if manifest is not None and one.receipt.bundle.id == manifest.hash
    }
    wanted: dict[str, list[str]] = {}
    for change in changes[:most]:
        for answer in (change.answers[0], change.answers[change.first_other]):
            if answer.name in variants:
                wanted.setdefault(variants[answer.name], []).append(change.sha256)
    return wanted


def _card(facts: Facts, change: Change) -> Card:
    path = facts.album.paths.get(change.sha256)
    maps = _maps(facts.sources, facts.maps, change)
    small = thumbnail(path) if path is not None and not maps else None
    return Card(change, path.name if path else change.sha256[:12], small, maps)


def _maps(sources: Sources, maps: Maps, change: Change) -> tuple[Map, ...]:
    """Draw the maps of both answers in one scale, so that they can be held against each other."""
    variants = {one.name: one.receipt.variant for one in sources.receipts}
    answers = (change.answers[0], change.answers[change.first_other])
    found = [
        (answer.name, maps.found[key])
        for answer in answers
        if (key := (variants[answer.name], change.sha256)) in maps.found
    ]
    most = max((float(saliency.drops.max()) for _, saliency in found), default=0.0)
    return tuple(_map(name, saliency, most) for name, saliency in found)


def _map(name: str, saliency: Saliency, most: float) -> Map:
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
    return Map(name, saliency.label, _said(name, saliency), data_uri(picture), cells)


def _said(name: str, saliency: Saliency) -> str:
    """Say in words where the strongest cell is."""
    drops, grid = saliency.drops, len(saliency.drops)
    row, column = divmod(int(drops.argmax()), grid)
    drop = f"{100 * float(drops.max()):.0f} points"
    return (
        f"{name} says {saliency.label}. Covering row {row + 1}, column {column + 1} of {grid} "
        f"costs that answer the most: {drop} of probability."
    )


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
