"""The tables of training cells: figures by method, ours less each peer by picture, and ratios of time."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import Cell, read_cell
from benchmarks.pages import markdown
from benchmarks.train_settings import METHODS, SETTINGS

PEERS = ("fastai", "torchvision")
OURS = ("ours-head", "ours")
_RESAMPLES = 2_000
Cells = Mapping[str, Sequence[Cell]]


def all_cells() -> dict[str, Cells]:
    """Return the cells that are there, by set and method; sets without any are left out."""
    found = {}
    for name, setting in SETTINGS.items():
        cells = {method: [read_cell(name, seed, method) for seed in setting.seeds] for method in METHODS}
        there = {method: [one for one in read if one] for method, read in cells.items()}
        if any(there.values()):
            found[name] = there
    return found


def page(sets: Mapping[str, Cells]) -> str:
    """Return Markdown of these cells."""
    return "\n\n".join(_part(name, cells) for name, cells in sets.items())


def _part(name: str, cells: Cells) -> str:
    first = next(one for found in cells.values() for one in found)
    metrics = metrics_of(first)
    header = ["method", "seeds", *(metric.replace("_", " ") for metric in metrics), "s", "core-s", "load"]
    rows = [_row(method, found, metrics) for method, found in cells.items() if found]
    notes = [
        line
        for peer in PEERS
        if cells.get(peer)
        for metric in metrics
        for line in _against(cells, peer, metric)
    ]
    return "\n".join(
        [f"**{name}**, {len(first.pictures):,} test pictures", "", markdown([header, *rows]), *notes]
    )


def _row(method: str, found: Sequence[Cell], metrics: Sequence[str]) -> list[str]:
    figures = [f"{mean(found, metric):.3f}" for metric in metrics]
    seconds, core_seconds = fmean(one.seconds for one in found), fmean(one.cpu_seconds for one in found)
    load = max(one.machine["load"] for one in found)
    return [method, str(len(found)), *figures, f"{seconds:,.0f}", f"{core_seconds:,.0f}", f"{load:.1f}"]


def _against(cells: Cells, peer: str, metric: str) -> list[str]:
    """Say how far ours lies above a peer, and how much sooner it is there."""
    lines = []
    for method in OURS:
        ours, theirs = both(cells.get(method, ()), cells[peer])
        if not ours:
            continue
        gain = mean(ours, metric) - mean(theirs, metric)
        low, high = paired(ours, theirs, metric)
        line = f"- {metric.replace('_', ' ')}, {method} less {peer}: {_pp(gain)} [{_pp(low)}, {_pp(high)}] pp"
        if gain >= 0:
            line += f", in {_time(ours, theirs)}"
        lines.append(line)
    return lines


def _time(ours: Sequence[Cell], theirs: Sequence[Cell]) -> str:
    """Compare the clocks; and what the peer would take at best, were its cores never waiting."""
    mine, other = (fmean(one.seconds for one in cells) for cells in (ours, theirs))
    busy = fmean(one.cpu_seconds / one.machine["cores"] for one in theirs)
    return f"1/{other / mine:.1f} of its time (1/{busy / mine:.1f} were its cores never idle)"


def both(ours: Sequence[Cell], theirs: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """Return the cells of the seeds that both have, in one order."""
    mine, other = {one.seed: one for one in ours}, {one.seed: one for one in theirs}
    seeds = sorted(mine.keys() & other.keys())
    return [mine[seed] for seed in seeds], [other[seed] for seed in seeds]


def paired(ours: Sequence[Cell], theirs: Sequence[Cell], metric: str) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean difference over seeds.

    Names are drawn, with all pictures that bear one and all that was said of them in any seed by either: two
    drawings of one pictogram are no independent trials, nor are the seeds of one picture.
    """
    names = sorted({name for one in ours for name in one.pictures})
    rows = [_rows_by_name(one, names) for one in ours]
    generator, found = np.random.default_rng(0), []
    for _ in range(_RESAMPLES):
        drawn = generator.integers(len(names), size=len(names))
        chosen = [picked[picked >= 0] for picked in (where[drawn] for where in rows)]
        found.append(
            fmean(
                mine.measure(metric, places) - other.measure(metric, places)
                for mine, other, places in zip(ours, theirs, chosen, strict=True)
            )
        )
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _rows_by_name(cell: Cell, names: Sequence[str]) -> NDArray[np.int64]:
    """Return where a cell has the pictures of each name, (names, most of one name), filled up with -1."""
    place = {name: number for number, name in enumerate(names)}
    found: list[list[int]] = [[] for _ in names]
    for row, name in enumerate(cell.pictures):
        found[place[name]].append(row)
    most = max(map(len, found))
    return np.array([rows + [-1] * (most - len(rows)) for rows in found], np.int64)


def metrics_of(cell: Cell) -> tuple[str, ...]:
    """Return what methods are compared by on a cell's set: two classes may be as uneven as they like."""
    return ("auc", "balanced_accuracy") if cell.scores else ("accuracy",)


def percent(cells: Sequence[Cell]) -> str:
    """Return the mean balanced accuracy over seeds."""
    return f"{100 * mean(cells, 'balanced_accuracy'):.1f}"


def beside(cells: Sequence[Cell], others: Sequence[Cell]) -> str:
    """Return the mean balanced accuracy over seeds, and the difference to others' in points at 95 %."""
    low, high = paired(cells, others, "balanced_accuracy")
    return f"{percent(cells)} [{100 * low:+.1f}, {100 * high:+.1f}]"


def mean(cells: Sequence[Cell], metric: str) -> float:
    """Return a metric's mean over seeds, 0-1."""
    return fmean(one.measure(metric) for one in cells)


def _pp(share: float) -> str:
    return f"{100 * share:+.1f}"
