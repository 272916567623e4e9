"""How many copies of a picture the head should see: the second table of docs/ablations.md.

    python -m benchmarks.views [--only-table]

The head alone, solved on the pictures as they are, with their mirror images, or with copies that
TrivialAugment has changed. Cells as in benchmarks/cells: what is there is not run again.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.answers import train_cell
from benchmarks.cells import cell_file, read_cell
from benchmarks.pages import markdown, write_table
from benchmarks.sets import make_set
from benchmarks.train_settings import SETTINGS
from benchmarks.train_table import beside, percent
from edgetl.dataset import load_dataset
from edgetl.recipe import Recipe
from edgetl.views import training_views

_SETS = Path(__file__).parent / "results" / "sets"
# The first is what the others are compared with.
COPIES: dict[str, dict[str, Any]] = {
    "as they are": {"views": "none"},
    "left-right": {"views": "hflip"},
    "both directions": {"views": "flips"},
    "trivial": {"views": "none", "augment": "trivial"},
}
_SEEDS = {"solar-cells": (0, 1, 2), "fashion-1000": (0,), "pictograms": (0,)}


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only-table", action="store_true", help="run nothing")
    if not parser.parse_args().only_table:
        for name, seeds in _SEEDS.items():
            for seed in seeds:
                _cells(name, seed)
    text = _table()
    print(text)
    write_table("ablations.md", "views.py", text)
    return 0


def _cells(name: str, seed: int) -> None:
    dataset = load_dataset(make_set(f"{name}-{seed}" if name == "solar-cells" else name, _SETS))
    for method, copies in COPIES.items():
        if cell_file(f"views-{name}", seed, _slug(method)).exists():
            continue
        recipe = replace(Recipe(size=SETTINGS[name].size, crop=1.0, unfreeze=(), seed=seed), **copies)
        train_cell(dataset, recipe, f"views-{name}", seed, _slug(method))
        print(name, seed, method, flush=True)


def _table() -> str:
    """Return a line for each set: balanced accuracy by copies, and the difference to none."""
    rows = [
        [
            "pictures",
            "seeds",
            *(f"{name} ({len(training_views(Recipe(**given)))})" for name, given in COPIES.items()),
        ]
    ]
    for name, seeds in _SEEDS.items():
        found = {
            method: [cell for seed in seeds if (cell := read_cell(f"views-{name}", seed, _slug(method)))]
            for method in COPIES
        }
        if all(len(cells) == len(seeds) for cells in found.values()):
            plain, *others = found.values()
            rows.append([name, str(len(seeds)), percent(plain), *(beside(cells, plain) for cells in others)])
    return markdown(rows)


def _slug(method: str) -> str:
    return method.replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
