"""What a second round of the race of backbones tells about a lead that the first one has proven.

    python -m benchmarks.rounds --work DIR

DIR is that of `benchmarks.regret`, which runs before: its candidates race on its sets, each against each in
two rounds, and its accuracies on the test pictures say which of two is the better one in the end.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import measured, page
from benchmarks.caches import empty_cache
from benchmarks.regret import runs_of, sets_of
from edgetl.advise.probe import Gain, Probed, gain, probe
from edgetl.advise.sample import TRIAL_PICTURES, part
from edgetl.dataset import Dataset
from edgetl.recipe import Recipe

_SEEDS, _EPOCHS = (0, 1), (2, 4)
_BUDGET_S = 120.0


@dataclass(frozen=True, slots=True)
class Lead:
    """Of one backbone over another. first, second: after each round. points: in the end, in accuracy."""

    first: Gain
    second: Gain
    points: float


def main() -> int:
    """Race all pairs, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args().work
    sets, regret = sets_of(work), measured.read()["regret"].figures
    candidates, leads = runs_of(work, sets["fashion"]), list[Lead]()
    for name, dataset in sets.items():
        few = part(dataset, TRIAL_PICTURES, 2 * TRIAL_PICTURES)
        for seed in _SEEDS:
            leads += _leads(_rounds(candidates, few, seed), regret[name]["accuracy"])
            print(name, seed, _counts(leads), flush=True)
    title, command = "A second round of the race", "python -m benchmarks.rounds --work DIR"
    measured.write("rounds", title, command, _counts(leads))
    return page.main()


def _rounds(candidates: Mapping[str, Path], few: Dataset, seed: int) -> dict[tuple[str, int], Probed]:
    """Let each candidate run both rounds."""
    recipe = Recipe(time_budget_s=_BUDGET_S, seed=seed)
    with empty_cache():
        return {
            (name, epochs): probe(few, replace(recipe, backbone=str(run), epochs=epochs), _BUDGET_S)
            for name, run in candidates.items()
            for epochs in _EPOCHS
        }


def _leads(found: Mapping[tuple[str, int], Probed], accuracy: Mapping[str, float]) -> Iterator[Lead]:
    """Give the lead of each pair's better one after the first round."""
    for pair in combinations(accuracy, 2):
        one, other = sorted(pair, key=lambda name: found[name, _EPOCHS[0]].loss)
        first, second = (gain(found[one, epochs], found[other, epochs]) for epochs in _EPOCHS)
        yield Lead(first, second, 100 * (accuracy[one] - accuracy[other]))


def _counts(leads: Sequence[Lead]) -> dict[str, Any]:
    """Count the leads that each round proves, and those that are right by the accuracy in the end."""
    first = [lead for lead in leads if lead.first.proven]
    turned = [lead for lead in first if lead.second.value < 0]
    second = [lead for lead in leads if replace(lead.second, value=abs(lead.second.value)).proven]
    return {
        "pairs": len(leads),
        "first round": {
            "proven": len(first),
            "of these right in the end": sum(lead.points > 0 for lead in first),
            "of these turned by the second": len(turned),
            "turned and right in the end": sum(lead.points < 0 for lead in turned),
        },
        "second round": {
            "proven": len(second),
            "of these right in the end": sum(lead.points * lead.second.value > 0 for lead in second),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
