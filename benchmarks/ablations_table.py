"""The table of the ablations, from the cells that are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.cells import Cell, read_cell
from benchmarks.pages import markdown
from benchmarks.train_table import paired

_MOST_SEEDS = 10


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained on. shift: of the pictures or of the classes. per_class: training pictures, or all."""

    source: str
    shift: str
    per_class: str

    @property
    def name(self) -> str:
        """Of the cells' files."""
        return f"ablation-{self.source}-{self.shift}-{self.per_class}"


def table(cases: Sequence[Case], approaches: Sequence[str]) -> str:
    """Return a line for each case: balanced accuracy by approach, and what beats the head for sure."""
    header = ["pictures", "shift", "a class", "seeds", *approaches, "best, less head (95 %)"]
    rows = [header]
    for case in cases:
        cells = {approach: _cells(case.name, approach) for approach in approaches}
        if all(cells.values()):
            rows.append([case.source, case.shift, case.per_class, *_figures(cells)])
    return markdown(rows)


def _cells(name: str, approach: str) -> list[Cell]:
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
