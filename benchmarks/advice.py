"""What following the advice loses against the best approach, on sets that ask for different ones.

    python -m benchmarks.advice [--cases 0 1 …]

Every set is trained by all approaches, in the cells of `benchmarks.ablations`; then `edgetl.advise` plans,
knowing nothing of them. One set has shuffled labels, and one shows what random features know better: transfer
helps with neither, and the advice must say so. *lift* is the interval of what pretrained features are right
on more often than random ones, in points.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks import measured, page
from benchmarks.ablations import APPROACHES, RECIPE, case_csv, run
from benchmarks.ablations_table import Case
from benchmarks.cells import cell_file, read_cell
from benchmarks.targets import Row
from edgetl.advise.advisor import give_advice
from edgetl.advise.request import Request
from edgetl.dataset import load_dataset

_SETS = Path(__file__).parent / "results" / "sets"
CASES = (
    Case("fashion", "none", "20"),
    Case("pictograms", "none", "20"),
    Case("solar-cells", "none", "100"),
    Case("fashion", "blur", "20"),
    Case("fashion", "shuffled", "20"),
    Case("hues", "none", "20"),
)
_SEED = 0


def main() -> int:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", nargs="+", type=int, default=range(len(CASES)), help="numbers, from 0")
    given = parser.parse_args()
    found = {}
    for case in (CASES[number] for number in given.cases):
        found[case.name] = _advised(case)
        print(case.name, found[case.name], flush=True)
    measured.write("advice", "Following the advice", "python -m benchmarks.advice", found)
    return page.main()


def _advised(case: Case) -> dict[str, Any]:
    dataset = load_dataset(case_csv(case, _SEED, _SETS))
    for approach in APPROACHES:
        if not cell_file(case.name, _SEED, approach).exists():
            run(case, _SEED, approach, dataset)
    settings = {"size": RECIPE.size, "crop": RECIPE.crop}
    request = Request(("efficientnet_lite0",), time_budget_s=RECIPE.time_budget_s, settings=settings)
    advice = give_advice(dataset, request)
    planned = next(name for name, one in APPROACHES.items() if one == advice.plan.approach)
    cells = {name: read_cell(case.name, _SEED, name) for name in APPROACHES}
    shares = {name: cell.measure("balanced_accuracy") for name, cell in cells.items() if cell}
    near = advice.similarity.ridge
    lost = 100 * (max(shares.values()) - shares[planned])
    return {
        "planned": planned,
        "transfer": advice.plan.transfer,
        "lift": f"{100 * near.low:+.1f} to {100 * near.high:+.1f}",
        "shift, first to last": f"{advice.similarity.shallow:.2f} to {advice.similarity.deep:.2f}",
        **{name: round(100 * share, 1) for name, share in shares.items()},
        "targets": [Row(f"{case.name}: points lost by the plan", round(lost, 1), 1, "pp").facts()],
    }


if __name__ == "__main__":
    sys.exit(main())
