"""A real job from end to end: a detector of defects in solar cells, trained, exported, validated and gated.

Calls what the commands call, in the order in which a user would, on pictures that come in a package.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from shlex import quote
from typing import Any

from edgetl.dataset import load_dataset
from edgetl.events import Watcher
from edgetl.pipeline import export_run
from edgetl.recipe import Recipe
from edgetl.run import FACTS, read_run
from edgetl.solar_cells import LICENCE, solar_cells_csv
from edgetl.tables import table
from edgetl.training import train
from edgetl_runtime.commands import Where, run_info, run_validate
from edgetl_runtime.gating import gate
from edgetl_runtime.presentation import render_verdict
from edgetl_runtime.receipt import Receipt
from edgetl_runtime.verdict import Verdict

# A cell has no up and no left, and its defects reach its border: all flips mean the same, nothing is cropped.
# Its three stages learn at rates that lie apart, as they did when the figures of README were measured.
RECIPE = Recipe(
    views="flips", crop=1.0, unfreeze=(3,), epochs=8, learning_rate=1e-3, decay=2.6, time_budget_s=3600
)
_BASELINE, _CANDIDATE = "onnx-fp32", "openvino-int8"
_STRICT = 0.005
# Margins are said in steps of half a point.
_STEP = 0.005


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo found: a receipt for each variant, and the verdicts at 0.5 points and at `margin`."""

    receipts: Mapping[str, Receipt]
    strict: Verdict
    verdict: Verdict
    text: str

    @property
    def exit_code(self) -> int:
        """0, unless the gate found a regression: that test pictures are too few is no failure of the demo."""
        return 1 if self.verdict.outcome == "FAIL" else 0

    def facts(self) -> dict[str, Any]:
        """Give everything as JSON can hold it."""
        return {
            "figures": {
                variant: {name: asdict(figure) for name, figure in receipt.figures.items()}
                for variant, receipt in self.receipts.items()
            },
            "verdicts": [asdict(self.strict), asdict(self.verdict)],
        }


def run_demo(out: Path, watcher: Watcher) -> Outcome:
    """Do the whole job in a folder; a finished run or a bundle that is there already is used again.

    Raises:
        KeyboardInterrupt: Ctrl-C came while it trained; the same call goes on.
    """
    watcher.note(LICENCE)
    csv, run, bundle = out / "solar-cells.csv", out / "run", out / "bundle"
    if not csv.exists():
        solar_cells_csv(csv)
    if (run / FACTS).exists() and not read_run(run).interrupted:
        watcher.note(f"Using the run that is there: {run}")
    else:
        watcher.phase("pictures")
        dataset = load_dataset(csv, progress=watcher.progress)
        for line in dataset.notes():
            watcher.note(line)
        if train(dataset, RECIPE, run, watcher, source=csv).interrupted:
            raise KeyboardInterrupt
    if bundle.exists():
        watcher.note(f"Using the bundle that is there: {bundle}")
    else:
        export_run(run, bundle, data_licence=LICENCE, max_drop=0.01, on_miss="fail", watcher=watcher)
    receipts = _validate(bundle, csv, out / "receipts", watcher)
    return judge(receipts, out)


def judge(receipts: Mapping[str, Receipt], out: Path) -> Outcome:
    """Gate int8 against float at 0.5 points, and at the margin that so many pictures can certify."""
    baseline, candidate = receipts[_BASELINE], receipts[_CANDIDATE]
    strict = gate(baseline, candidate, margin=_STRICT)
    margin = max(_STRICT, ceil(strict.certifiable_margin / _STEP) * _STEP)
    verdict = gate(baseline, candidate, margin=margin)
    return Outcome(receipts, strict, verdict, _render(receipts, strict, verdict, out))


def _validate(bundle: Path, csv: Path, folder: Path, watcher: Watcher) -> dict[str, Receipt]:
    """Measure every variant on the test split and write its receipt."""
    receipts = {}
    for variant in run_info(bundle).variants:
        watcher.phase(f"validate {variant.name}")
        receipt = run_validate(bundle, csv, where=Where(variant=variant.name), progress=watcher.progress)
        receipt.write(folder / f"{variant.name}.json")
        receipts[variant.name] = receipt
    return receipts


def _render(receipts: Mapping[str, Receipt], strict: Verdict, verdict: Verdict, out: Path) -> str:
    rows = [_row(receipt) for receipt in receipts.values()]
    n = verdict.n
    header = ("variant", "accuracy ± 95 %", "balanced", "AUC", "infer p50/p95 ms", "MB")
    files = (quote(str(out / "receipts" / f"{name}.json")) for name in (_BASELINE, _CANDIDATE))
    return "\n".join(
        [
            f"All variants on the {n:,} test pictures, measured on this machine:",
            "",
            table(header, rows),
            f"Gate, {_CANDIDATE} against {_BASELINE}, at the margin that {n:,} pictures can certify:",
            render_verdict(verdict),
            "",
            f"At 0.5 points: {strict.finding()}",
            *strict.next_steps(),
            "",
            f"Next: edgetl check {' '.join(files)} --margin {100 * verdict.margin:g}pp",
        ]
    )


def _row(receipt: Receipt) -> tuple[str, ...]:
    accuracy, infer = receipt.figures["accuracy"], receipt.latency["infer"]
    half = (accuracy.high - accuracy.low) / 2
    return (
        receipt.variant,
        f"{100 * accuracy.value:.1f} ± {100 * half:.1f}",
        f"{100 * receipt.figures['balanced_accuracy'].value:.1f}",
        f"{receipt.figures['auc'].value:.3f}",
        f"{infer.p50_ms:.2f}/{infer.p95_ms:.2f}",
        f"{receipt.size_bytes / 1e6:.1f}",
    )
