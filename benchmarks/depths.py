"""What features of all depths are worth, beside the last ones alone: the fourth table of docs/ablations.md.

    python -m benchmarks.depths [--sets …] [--only-table]

The same network, pictures and settings; the head alone, and on the larger sets tuned as well, in 96 pixels.
Cells as in benchmarks/cells: what is there is not run again.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

from benchmarks.ablations import SOURCES, case_csv
from benchmarks.ablations_table import Case
from benchmarks.answers import train_cell
from benchmarks.cells import Cell, cell_file, read_cell
from benchmarks.pages import markdown, write_table
from benchmarks.train_table import beside, percent
from edgetl.backbones.depths import SUFFIX
from edgetl.dataset import load_dataset
from edgetl.recipe import Recipe

_SETS = Path(__file__).parent / "results" / "sets"
TUNED = tuple(Case(source, "none", "100") for source in SOURCES)
CASES = (
    *TUNED,
    *(Case(source, "none", "20") for source in ("fashion", "pictograms")),
    Case("fashion", "none", "5"),
    Case("fashion", "blur", "20"),
    Case("hues", "none", "20"),
)
RECIPE = Recipe(size=96, crop=1.0)
_ALL = RECIPE.backbone + SUFFIX
METHODS = {
    "head": replace(RECIPE, unfreeze=()),
    "head-depths": replace(RECIPE, unfreeze=(), backbone=_ALL),
    "tuned": RECIPE,
    "tuned-depths": replace(RECIPE, backbone=_ALL),
}


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("--sets", nargs="+", default=names, choices=names)
    parser.add_argument("--only-table", action="store_true", help="run nothing")
    given = parser.parse_args()
    for case, method in () if given.only_table else _asked(given.sets):
        if not _file(case, method).exists():
            print(case.name, method, flush=True)
            dataset = load_dataset(case_csv(case, 0, _SETS))
            train_cell(dataset, METHODS[method], _name(case), 0, method)
    text = _table()
    print(text)
    write_table("ablations.md", "depths.py", text)
    return 0


def _asked(names: list[str]) -> Iterator[tuple[Case, str]]:
    """Yield the heads first, which take seconds."""
    for methods in (("head", "head-depths"), ("tuned", "tuned-depths")):
        for case, method in product(CASES, methods):
            if case.name in names and (case in TUNED or method.startswith("head")):
                yield case, method


def _table() -> str:
    """Return a line for each set: balanced accuracy of the last features, and of all beside it."""
    rows = [["pictures", "shift", "a class", "head", "head, all depths", "tuned", "tuned, all depths"]]
    for case in CASES:
        told = [*_pair(case, "head"), *_pair(case, "tuned")]
        if told[0]:
            rows.append([case.source, case.shift, case.per_class, *told])
    return markdown(rows)


def _pair(case: Case, method: str) -> tuple[str, str]:
    last, deep = _cell(case, method), _cell(case, f"{method}-depths")
    return (percent([last]), beside([deep], [last])) if last and deep else ("", "")


def _name(case: Case) -> str:
    return case.name.replace("ablation", "depths")


def _cell(case: Case, method: str) -> Cell | None:
    return read_cell(_name(case), 0, method)


def _file(case: Case, method: str) -> Path:
    return cell_file(_name(case), 0, method)


if __name__ == "__main__":
    sys.exit(main())
