"""Which layers to train, by measurement: the table of docs/ablations.md.

    python -m benchmarks.ablations [--sets …] [--shifts …] [--per-class …] [--seeds 0 …] [--only-table]

Head only, from the output side, from the input side, everything at once, and from random weights; with 5, 20,
100 and all training pictures of a class; on pictures as they are, blurred and noisy, and with classes that
mean something else. A cell is a file in benchmarks/cells, see there; what is there is not run again. All have
the same weights of EfficientNet-Lite0, 96 pixels, and five minutes at most to train; ten for ten thousand
pictures, on which three epochs take six.
"""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.ablations_table import Case, table
from benchmarks.answers import train_cell
from benchmarks.cells import cell_file
from benchmarks.pages import write_table
from benchmarks.sets import make_set
from edgetl.advise.plan import Approach, settings
from edgetl.dataset import Dataset, load_dataset
from edgetl.recipe import Recipe

_SETS = Path(__file__).parent / "results" / "sets"
SOURCES: Mapping[str, str] = {
    "fashion": "fashion-10000",
    "pictograms": "pictograms",
    "solar-cells": "solar-cells-193",
}
APPROACHES: Mapping[str, Approach] = {
    "head": "head",
    "output": "staged",
    "input": "input",
    "full": "full",
    "scratch": "scratch",
}
_STAGES = 9  # of EfficientNet-Lite0
SHIFTS = ("none", "blur", "relabelled")
PER_CLASS = ("5", "20", "100", "all")
RECIPE = Recipe(size=96, crop=1.0, time_budget_s=300)
_LONGER_S = {("fashion", "all"): 600}
# More would measure no better: two standard errors are two points.
_MOST_TEST = 2_000
_BLUR, _NOISE = 1 / 40, 25.0  # of the shorter side; of 255
Row = tuple[str, str, str]


def main() -> int:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=tuple(SOURCES), choices=tuple(SOURCES))
    parser.add_argument("--shifts", nargs="+", default=SHIFTS, choices=SHIFTS)
    parser.add_argument("--per-class", nargs="+", default=PER_CLASS, choices=PER_CLASS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    parser.add_argument("--only-table", action="store_true", help="run nothing")
    given = parser.parse_args()
    asked = (given.sets, given.shifts, given.per_class)
    for seed, case in () if given.only_table else product(given.seeds, all_cases(*asked)):
        missing = [name for name in APPROACHES if not cell_file(case.name, seed, name).exists()]
        if missing:
            dataset = load_dataset(case_csv(case, seed, _SETS))
            for approach in missing:
                run(case, seed, approach, dataset)
    text = table(all_cases(), tuple(APPROACHES))
    print(text)
    write_table("ablations.md", "ablations.py", text)
    return 0


def all_cases(
    sources: Iterable[str] = SOURCES, shifts: Iterable[str] = SHIFTS, per_class: Iterable[str] = PER_CLASS
) -> list[Case]:
    """Return the cases; two classes cannot be joined anew."""
    cases = [Case(*parts) for parts in product(sources, shifts, per_class)]
    return [case for case in cases if (case.source, case.shift) != ("solar-cells", "relabelled")]


def run(case: Case, seed: int, approach: str, dataset: Dataset) -> None:
    """Train a case by one approach, and write the cell."""
    print(f"{case.name}, seed {seed}, {approach} …", flush=True)
    budget = _LONGER_S.get((case.source, case.per_class), RECIPE.time_budget_s)
    recipe = replace(RECIPE, seed=seed, time_budget_s=budget, **settings(APPROACHES[approach], _STAGES))
    train_cell(dataset, recipe, case.name, seed, approach)


def case_csv(case: Case, seed: int, folder: Path) -> Path:
    """Write the pictures of a case: few of the training ones, all changed as the shift says."""
    out = folder / f"{case.name}-{seed}.csv"
    if not out.exists():
        with make_set(SOURCES.get(case.source, case.source), folder).open(
            encoding="utf-8", newline=""
        ) as file:
            rows = [(row["path"], row["label"], row["split"]) for row in csv.DictReader(file)]
        chosen = _shifted(_chosen(rows, case.per_class, seed), case, folder, seed)
        with out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split"), *chosen])
    return out


def _chosen(rows: Iterable[Row], per_class: str, seed: int) -> list[Row]:
    """Draw training pictures class by class, as many to validate by at most, and a part of the test ones."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[2], row[1]].append(row)
    classes = len({label for _, label in groups})
    most = {"train": 10**9 if per_class == "all" else int(per_class), "test": _MOST_TEST // classes}
    most["val"] = max(10, min(most["train"], 200))
    generator, chosen = np.random.default_rng(seed), list[Row]()
    for (split, _), group in sorted(groups.items()):
        order = generator.permutation(len(group))[: most[split]]
        chosen += [group[place] for place in sorted(order)]
    return chosen


def _shifted(rows: list[Row], case: Case, folder: Path, seed: int) -> Iterator[Row]:
    """Yield the rows: pictures blurred and noisy, every class halved and joined anew, or labels shuffled."""
    classes = sorted({label for _, label, _ in rows})
    if case.shift == "shuffled":
        order = np.random.default_rng(seed).permutation(len(rows))
        yield from (
            (path, rows[place][1], split) for (path, _, split), place in zip(rows, order, strict=True)
        )
        return
    for path, label, split in rows:
        if case.shift == "blur":
            yield str(_blurred(Path(path), folder / "blurred" / case.source)), label, split
        elif case.shift == "relabelled":
            # Each new class is made of two old ones that have nothing in common but this.
            yield path, f"group-{classes.index(label) % (len(classes) // 2)}", split
        else:
            yield path, label, split


def _blurred(path: Path, folder: Path) -> Path:
    """Blur a picture and add noise, the same whenever it is made again."""
    out = folder / path.parent.name / f"{path.stem}.png"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as found:
            image = found.convert("RGB")
        pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(_BLUR * min(image.size))), np.float32)
        seed = int.from_bytes(path.stem.encode()[-8:], "big")
        noisy = pixels + np.random.default_rng(seed).normal(0, _NOISE, pixels.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(out)
    return out


if __name__ == "__main__":
    sys.exit(main())
