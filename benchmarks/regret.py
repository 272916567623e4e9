"""What choosing a backbone by measuring loses against fine-tuning all, and what it costs.

    python -m benchmarks.regret --work DIR

DIR is that of `benchmarks.export`, whose weights are the candidates: ImageNet's of EfficientNet-Lite0, and
those of five networks that were pretrained here. Each becomes a run whose head alone is solved, so that only
its weights and its size are told from the others. Then, on each set, `edgetl.advise` picks one, and all of
them are fine-tuned; the test pictures are answered once. Finished cells are not run again. The choice
and each training begin with an empty cache.
"""

import argparse
import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import measured, page
from benchmarks.answers import train_cell
from benchmarks.caches import empty_cache
from benchmarks.cells import cell_file, read_cell
from benchmarks.export import NAMES, pictures_of, place, pretrained
from benchmarks.sets import make_set
from benchmarks.targets import Row
from edgetl.advise.advisor import give_advice
from edgetl.advise.request import Request
from edgetl.dataset import Dataset, load_dataset
from edgetl.events import Watcher
from edgetl.recipe import Recipe
from edgetl.run import FACTS
from edgetl.training import train

_SETS = Path(__file__).parent / "results" / "sets"
_FEW = {"train": 1_000, "val": 1_000, "test": 2_000}
_BUDGET_S = 600.0
_CHOSEN = "pretrained against random features"  # The phase that begins when the backbone is chosen.


class _Clock(Watcher):
    """Notes when the choice is made."""

    def __init__(self) -> None:
        self.begun, self.chosen = perf_counter(), 0.0

    def phase(self, name: str) -> None:
        if name == _CHOSEN:
            self.chosen = perf_counter() - self.begun


def main() -> int:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args().work
    sets, found = sets_of(work), dict[str, Any]()
    candidates = runs_of(work, sets["fashion"])
    for name, dataset in sets.items():
        for candidate, run in candidates.items():
            _fine_tune(f"regret-{name}", candidate, run, dataset)
        found[name] = _choose(f"regret-{name}", candidates, dataset)
        print(name, found[name], flush=True)
    measured.write("regret", "Choosing a backbone", "python -m benchmarks.regret --work DIR", found)
    return page.main()


def sets_of(work: Path) -> dict[str, Dataset]:
    """Return the sets on which backbones are chosen; Fashion's pictures are others than the pretraining's."""
    paths = {"fashion": _few(pictures_of(work / "fashion")), "pictograms": make_set("pictograms", _SETS)}
    return {name: load_dataset(path) for name, path in paths.items()}


def runs_of(work: Path, fashion: Dataset) -> dict[str, Path]:
    """Return the run that gives the advice each candidate's pretrained weights, made where it is missing."""
    return {name: _as_run(name, work, fashion) for name in NAMES}


def _choose(name: str, candidates: Mapping[str, Path], dataset: Dataset) -> dict[str, Any]:
    """Let the advice pick one, and hold the pick against the best on the test pictures."""
    runs = tuple(str(run) for run in candidates.values())
    with empty_cache():
        clock = _Clock()
        advice = give_advice(dataset, Request(backbones=runs, time_budget_s=_BUDGET_S), clock)
    picked = next(one for one, run in candidates.items() if str(run) == advice.backbone)
    cells = {one: read_cell(name, 0, _slug(one)) for one in candidates}
    accuracy = {one: cell.measure("accuracy") for one, cell in cells.items() if cell}
    seconds = sum(cell.seconds for cell in cells.values() if cell)
    best = max(accuracy, key=lambda one: accuracy[one])
    regret, share = 100 * (accuracy[best] - accuracy[picked]), 100 * clock.chosen / seconds
    return {
        "picked": picked,
        "best": best,
        "seconds to choose": round(clock.chosen, 1),
        "seconds to fine-tune all": round(seconds, 1),
        "accuracy": {one: round(value, 4) for one, value in accuracy.items()},
        "targets": [
            Row(f"{name}: points lost by the pick", round(regret, 2), 1, "pp").facts(),
            Row(f"{name}: cost of the choice", round(share, 1), 20, "%").facts(),
        ],
    }


def _fine_tune(name: str, candidate: str, run: Path, dataset: Dataset) -> None:
    """Fine-tune by the default policy, unless it was done."""
    if cell_file(name, 0, _slug(candidate)).exists():
        return
    print(name, candidate, flush=True)
    with empty_cache():
        train_cell(dataset, Recipe(backbone=str(run), time_budget_s=_BUDGET_S), name, 0, _slug(candidate))


def _as_run(name: str, work: Path, dataset: Dataset) -> Path:
    """Make a run of pretrained weights, by which the advice can name them."""
    folder, is_local = place(work, name), "/" in name
    out = folder / "start"
    if not (out / FACTS).exists():
        weights = str(pretrained(name, work / "fashion", folder)) if is_local else "default"
        size = 48 if is_local else 96
        train(dataset, Recipe(backbone=name, weights=weights, size=size, crop=1.0, unfreeze=()), out)
    return out


def _few(data: Path) -> Path:
    """Draw some pictures of each split."""
    out = data.with_name("few.csv")
    if not out.exists():
        with data.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        generator, chosen = np.random.default_rng(0), [header]
        for split, count in _FEW.items():
            of_split = [row for row in rows if row[2] == split]
            chosen += [of_split[number] for number in sorted(generator.permutation(len(of_split))[:count])]
        with out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(chosen)
    return out


def _slug(name: str) -> str:
    return name.replace("/", "-")


if __name__ == "__main__":
    sys.exit(main())
