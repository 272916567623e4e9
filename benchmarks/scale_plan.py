"""From what thousands of pictures cost to what millions would: tables for docs/scale.md. Measures nothing.

Slopes are differences between the smallest and the largest number that was measured, so that what every
process pays once (imports, compiling) does not count. What lies beyond the largest is extrapolated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from benchmarks.many import Kind
from benchmarks.peaks import Phase, Watched
from edgetl_runtime.predictions import MAX_PICTURES

Layout: TypeAlias = Literal["folders", "tars"]
PARTS = ("list", "index", "extract", "validate")
_FEATURE_BYTES = 2 * 1_280
_PHOTO_BYTES = 100_000
_ENOUGH = 100_000  # pictures to validate: accuracy within 0.3 points


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell as it was measured; its phases are those of a training or of a validation."""

    kind: Kind
    layout: Layout
    count: int
    watched: Watched
    machine: Mapping[str, Any]

    def phase(self, name: str) -> Phase | None:
        """Return a part of the work, where this cell has it."""
        return next((one for one in self.watched.phases if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the plan is for. gbit_s: of each machine's network."""

    pictures: int = 10_000_000
    machines: int = 50
    cores: int = 16
    gbit_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Slope:
    """What a further picture costs, between two numbers of pictures; held_kb: of anonymous memory."""

    core_ms: float
    held_kb: float
    least: int
    most: int


def page(cells: Sequence[Measured], fleet: Fleet | None = None) -> str:
    """Return the tables in Markdown: what was measured, the slopes, and the plan where there are slopes."""
    groups = sorted({(one.kind, one.layout) for one in cells}, reverse=True)
    parts = [_machine(cells), _table(cells, groups), _slopes(cells, groups)]
    photos = {part: slope(cells, "photos", "tars", part) for part in PARTS}
    photos["validate"] = photos["validate"] or _average(cells)
    small = slope(cells, "small", "tars", "index")
    if small is not None and None not in photos.values():
        known = {part: one for part, one in photos.items() if one is not None}
        parts.append(plan(known, small.held_kb, fleet or Fleet()))
    return "\n\n".join(parts) + "\n"


def slope(cells: Sequence[Measured], kind: Kind, layout: Layout, part: str) -> Slope | None:
    """Return what a further picture costs, or None where only one number was measured."""
    found = {
        one.count: phase
        for one in cells
        if (one.kind, one.layout) == (kind, layout) and (phase := one.phase(part)) is not None
    }
    if len(found) < 2:
        return None
    least, most = min(found), max(found)
    first, last, more = found[least], found[most], most - least
    return Slope(
        1_000 * (last.core_seconds - first.core_seconds) / more,
        1_000 * (last.held_mb - first.held_mb) / more,
        least,
        most,
    )


def _average(cells: Sequence[Measured]) -> Slope | None:
    """Return what a photograph costs to validate where one number was measured: all of it by the picture."""
    for cell in cells:
        phase = cell.phase("validate") if cell.kind == "photos" else None
        if phase is not None:
            n = cell.count
            return Slope(1_000 * phase.core_seconds / n, 0.0, n, n)
    return None


def plan(photos: Mapping[str, Slope], index_kb: float, fleet: Fleet) -> str:
    """Return the table of what the fleet's pictures would take; only the slopes in it were measured."""
    n, machines = fleet.pictures, f"{fleet.machines} machines of {fleet.cores} cores"
    held = [_held(photos, replace(fleet, machines=number)) for number in (fleet.machines, 4)]
    steps = (
        f"| {one.what} | {one.where} | {_number(one.core_h)} | {_number(one.clock_h)} |"
        for one in _steps(photos, fleet)
    )
    rows = [
        f"**{n:,} pictures of 100 kB in tars, {machines}: extrapolated**",
        "",
        "| step | where | core-hours | hours on the clock |",
        "|---|---|---|---|",
        *steps,
        "",
        f"- From the first header to the last feature: {', or '.join(held)}.",
        f"- Memory of the machine that indexes: {n * index_kb / 1e6:,.0f} GB, {index_kb:.2f} kB a picture.",
        f"- Pictures: {n * _PHOTO_BYTES / 1e12:,.1f} TB, read twice (index, extract).",
        f"- Features of EfficientNet-Lite0, one view: {n * _FEATURE_BYTES / 1e9:,.0f} GB in the cache.",
    ]
    return "\n".join(rows)


@dataclass(frozen=True, slots=True)
class _Step:
    what: str
    where: str
    core_h: float
    clock_h: float


def _steps(photos: Mapping[str, Slope], fleet: Fleet) -> list[_Step]:
    n, every = fleet.pictures, f"{fleet.machines} machines"
    listing = _hours(n, photos["list"].core_ms)
    index = _hours(n, photos["index"].core_ms) - listing
    extract, validate = _hours(n, photos["extract"].core_ms), photos["validate"].core_ms
    read, network = _read_hours(fleet), f"{fleet.gbit_s:g} Gbit/s"
    some, receipts = _hours(_ENOUGH, validate), -(-n // MAX_PICTURES)
    all_of_them = _hours(n, validate)
    return [
        _Step("list: read every header", "one machine, one core", listing, listing),
        _Step(
            "index: hash and decode each picture once",
            f"one machine, {fleet.cores} cores",
            index,
            index / fleet.cores,
        ),
        _Step("the same, bound by the network", f"one machine, {network}", 0, read),
        _Step(
            "extract: frozen layers once",
            f"{every}, all cores",
            extract,
            extract / fleet.cores / fleet.machines,
        ),
        _Step("the same, bound by the network", f"{every}, {network}", 0, read / fleet.machines),
        _Step(f"validate {_ENOUGH:,} of them", "one core, one picture at a time", some, some),
        _Step(
            f"validate all, in {receipts} receipts or more",
            f"one core of each of {every}",
            all_of_them,
            all_of_them / fleet.machines,
        ),
    ]


def _held(photos: Mapping[str, Slope], fleet: Fleet) -> str:
    """Say how long the machines are held, from the first header to the last feature, and what is paid for."""
    n, listing = fleet.pictures, photos["list"].core_ms
    read_h = _read_hours(fleet)
    index_h = max(_hours(n, photos["index"].core_ms - listing) / fleet.cores, read_h)
    extract_h = max(_hours(n, photos["extract"].core_ms) / fleet.cores, read_h) / fleet.machines
    clock_h = _hours(n, listing) + index_h + extract_h
    paid = clock_h * fleet.machines * fleet.cores
    return f"{_number(clock_h)} h on {fleet.machines} machines, {_number(paid)} core-hours paid for"


def _read_hours(fleet: Fleet) -> float:
    """Return how long one machine takes to read all pictures over the network."""
    return fleet.pictures * _PHOTO_BYTES * 8 / fleet.gbit_s / 1e9 / 3_600


def _machine(cells: Sequence[Measured]) -> str:
    facts = cells[0].machine
    loads = [one.machine["load"] for one in cells]
    return (
        f"Measured on {facts['cores']} cores of {facts['cpu']}, which {min(loads):.0f} to {max(loads):.0f} "
        "other processes wanted as well: core seconds can be trusted, seconds on the clock cannot."
    )


def _table(cells: Sequence[Measured], groups: Sequence[tuple[Kind, Layout]]) -> str:
    head = [
        "**Measured**",
        "",
        "| pictures | core-ms a picture: list | index | extract | validate | MB held: ",
    ]
    head[-1] += "index | extract | validate |"
    rows = [*head, "|---" * 8 + "|"]
    for kind, layout in groups:
        for count in sorted({one.count for one in cells if (one.kind, one.layout) == (kind, layout)}):
            there = [one for one in cells if (one.kind, one.layout, one.count) == (kind, layout, count)]
            found = {part: phase for part in PARTS for one in there if (phase := one.phase(part))}
            each = [_of(found, part, lambda p, n=count: 1_000 * p.core_seconds / n) for part in PARTS]
            held = [_of(found, part, lambda p: p.held_mb) for part in PARTS[1:]]
            rows.append("| " + " | ".join([f"{count:,} {kind}, {layout}", *each, *held]) + " |")
    return "\n".join(rows)


def _of(found: Mapping[str, Phase], part: str, value: Callable[[Phase], float]) -> str:
    return _number(value(found[part])) if part in found else "–"


def _slopes(cells: Sequence[Measured], groups: Sequence[tuple[Kind, Layout]]) -> str:
    rows = ["**Slopes: what a further picture costs, measured**", ""]
    rows += ["| pictures | between | part | core-ms | kB held |", "|---|---|---|---|---|"]
    for kind, layout in groups:
        for part in PARTS:
            if (one := slope(cells, kind, layout, part)) is not None:
                told = f"{one.least:,} and {one.most:,}"
                rows.append(f"| {kind}, {layout} | {told} | {part} | {one.core_ms:.2f} | {one.held_kb:.2f} |")
    return "\n".join(rows)


def _hours(count: int, milliseconds: float) -> float:
    return count * milliseconds / 3.6e6


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"
