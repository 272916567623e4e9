"""The page of the ablations, from the cells that are there."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Protocol

from benchmarks.cells import CELLS, Cell, read_cell
from benchmarks.train_table import paired
from edgetl_runtime.atomic import write_text

_PAGE = Path(__file__).parents[1] / "docs" / "ablations.md"
_BEGIN, _END = "<!-- benchmarks/ablations.py writes from here -->\n", "<!-- to here -->\n"
_MOST_SEEDS = 10


class Case(Protocol):
    """What was trained on."""

    @property
    def source(self) -> str: ...
    @property
    def shift(self) -> str: ...
    @property
    def per_class(self) -> str: ...
    @property
    def name(self) -> str: ...


def write_page(cases: Sequence[Case], approaches: Sequence[str]) -> None:
    """Put the table into docs/ablations.md, and print it."""
    text = table(cases, approaches)
    print(text)
    page = _PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    write_text(_PAGE, before + _BEGIN + text + _END + rest.partition(_END)[2])


def table(cases: Sequence[Case], approaches: Sequence[str]) -> str:
    """Return a line for each case: balanced accuracy by approach, and what beats the head for sure."""
    header = ["pictures", "shift", "a class", "seeds", *approaches, "best, less head (95 %)"]
    rows = [header, ["---"] * len(header)]
    for case in cases:
        cells = {approach: _cells(case.name, approach) for approach in approaches}
        if all(cells.values()):
            rows.append([case.source, case.shift, case.per_class, *_figures(cells)])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _cells(name: str, approach: str) -> list[Cell]:
    assert CELLS.exists(), "run benchmarks.ablations first"
    found = (read_cell(name, seed, approach) for seed in range(_MOST_SEEDS))
    return [one for one in found if one]


def _figures(cells: dict[str, list[Cell]]) -> list[str]:
    means = {name: fmean(one.measure("balanced_accuracy") for one in found) for name, found in cells.items()}
    best = max(means, key=lambda name: means[name])
    shares = [f"**{100 * means[n]:.1f}**" if n == best else f"{100 * means[n]:.1f}" for n in cells]
    return [str(min(map(len, cells.values()))), *shares, _over_head(cells, best)]


def _over_head(cells: dict[str, list[Cell]], best: str) -> str:
    if best == "head":
        return ""
    low, high = paired(cells[best], cells["head"], "balanced_accuracy")
    return f"{best} [{100 * low:+.1f}, {100 * high:+.1f}]"
