"""How much slower the stages near the input should learn: the third table of docs/ablations.md.

    python -m benchmarks.decay [--sets …] [--only-table]

All stages are tuned at once from the solved head, and nothing but the decay differs. A default is chosen by
this, so it is measured on none of the other tables' test pictures: training pictures are split anew. Cells as
in benchmarks/cells: what is there is not run again.
"""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.answers import train_cell
from benchmarks.cells import cell_file, read_cell
from benchmarks.pages import markdown, write_table
from benchmarks.sets import make_set
from benchmarks.train_table import beside, percent
from edgetl.dataset import Dataset, load_dataset
from edgetl.recipe import Recipe

_SETS = Path(__file__).parent / "results" / "sets"
# Of a set's training and validation pictures, those to train with and to validate by; the others test.
SHARES = {"fashion-10000": (1 / 12, 1 / 12), "pictograms": (0.5, 0.2), "solar-cells-193": (0.5, 0.2)}
# The last is what the others are compared with: ULMFiT's (Howard and Ruder 2018), for three or four groups.
DECAYS = (1.2, 1.5, 2.6)
RECIPE = Recipe(size=96, crop=1.0, unfreeze=(9,), epochs=12, patience=0, learning_rate=1e-3)


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=tuple(SHARES), choices=tuple(SHARES))
    parser.add_argument("--only-table", action="store_true", help="run nothing")
    given = parser.parse_args()
    for name, decay in () if given.only_table else product(given.sets, DECAYS):
        if not cell_file(f"decay-{name}", 0, str(decay)).exists():
            print(name, decay, flush=True)
            train_cell(split_anew(name), replace(RECIPE, decay=decay), f"decay-{name}", 0, str(decay))
    text = _table()
    print(text)
    write_table("ablations.md", "decay.py", text)
    return 0


def split_anew(name: str) -> Dataset:
    """Split what a set has for training and validation into three, class by class."""
    out = _SETS / f"decay-{name}.csv"
    if not out.exists():
        groups: dict[str, list[str]] = defaultdict(list)
        with make_set(name, _SETS).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["split"] != "test":
                    groups[row["label"]].append(row["path"])
        generator = np.random.default_rng(5)
        rows = [
            row for label, paths in groups.items() for row in _drawn(label, paths, SHARES[name], generator)
        ]
        with out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split"), *rows])
    return load_dataset(out)


def _drawn(
    label: str, paths: list[str], shares: tuple[float, float], generator: np.random.Generator
) -> list[tuple[str, str, str]]:
    train = int(shares[0] * len(paths))
    known = int(sum(shares) * len(paths))
    splits = ["train"] * train + ["val"] * (known - train) + ["test"] * (len(paths) - known)
    order = generator.permutation(len(paths))
    return [(paths[place], label, split) for place, split in zip(order, splits, strict=True)]


def _table() -> str:
    """Return a line for each set: balanced accuracy by decay, and the difference to the last one."""
    rows = [["pictures", "test pictures", *map(str, DECAYS)]]
    for name in SHARES:
        cells = [cell for decay in DECAYS if (cell := read_cell(f"decay-{name}", 0, str(decay)))]
        if len(cells) == len(DECAYS):
            last = cells[-1]
            told = [*(beside([cell], [last]) for cell in cells[:-1]), percent([last])]
            rows.append([name, f"{len(last.pictures):,}", *told])
    return markdown(rows)


if __name__ == "__main__":
    sys.exit(main())
