"""An int8 candidate: a saved file, measured on the choosing pictures, its temperature fitted there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import onnx

from edgetl_exporters.contract import Comparison, compare
from edgetl_exporters.graph import features_only, read_temperature, with_temperature
from edgetl_exporters.measure import Judged, judge, run_file
from edgetl_exporters.model import (
    ExportData,
    Floats,
    HeadSolver,
    Model,
    Pixels,
    TemperatureFitter,
    Watcher,
)
from edgetl_exporters.rounding import means_graph, rounded
from edgetl_exporters.to_int8 import Bits, Plan
from edgetl_exporters.to_openvino import to_openvino
from edgetl_runtime.manifest import Head as HeadKind

# Enough to keep a processor busy; single pictures would take twice as long.
_BATCH = 16
# Calibration pictures that give the mean inputs of layers; means need fewer than ranges.
_MEANS_OF = 64


class Quantize(Protocol):
    """Makes an int8 QDQ file of a float ONNX file; `to_int8.quantize` does."""

    def __call__(self, onnx_path: Path, out: Path, *, plan: Plan, images: Pixels, ranges: Path) -> None:
        """Write `out`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Climb:
    """The givens of a climb.

    source: the float ONNX file, of `model`. reference: the float model on the choosing and the verifying
    pictures. limit: the drop of accuracy that is allowed, 0–1. bits: of int8 weights. images: training
    pictures that calibrate. static_batch: of the saved files, None for any. folder: for the files.
    solve_head: None where there is nobody who can; the rungs that need it are not climbed then.
    """

    model: Model
    source: Path
    data: ExportData
    reference: tuple[Judged, Judged]
    limit: float
    bits: Bits
    images: Pixels
    static_batch: int | None
    folder: Path
    quantize: Quantize
    solve_head: HeadSolver | None
    fit_temperature: TemperatureFitter
    watcher: Watcher


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A rung's outcome on the choosing pictures. file: the ONNX file, its temperature fitted."""

    rung: str
    head: HeadKind
    plan: Plan
    file: Path
    temperature: float
    judged: Judged
    comparison: Comparison

    @property
    def preference(self) -> tuple[bool, float]:
        """Sort by this: those that pass, then the least loss."""
        return not self.comparison.passes, self.judged.loss


def quantized(givens: Climb, source: Path, plan: Plan, out: Path) -> None:
    """Quantize a float file; where the grid is known, its weights are rounded so that errors cancel."""
    start = source if plan.steps is None else _rounded(givens, source, plan.steps)
    givens.quantize(start, out, plan=plan, images=givens.images, ranges=start.with_suffix(".ranges.json"))


def measured(givens: Climb, rung: str, head: HeadKind, plan: Plan, file: Path) -> Candidate:
    """Judge a file on the choosing pictures, and give it the temperature that suits it there."""
    choose = givens.data.choose
    logits = run_file(converted(file), "openvino", choose.pixels, batch=_BATCH).logits
    temperature = givens.fit_temperature(logits, choose.targets)
    fitted = with_temperature(onnx.load(file), temperature)
    onnx.save(fitted, file)
    # As stored: float32, which is what the manifest must say.
    temperature = read_temperature(fitted)
    judged = judge(givens.model.task, logits, choose.targets, temperature)
    comparison = compare(givens.reference[0], judged, givens.limit)
    return Candidate(rung, head, plan, file, temperature, judged, comparison)


def converted(file: Path) -> Path:
    """Write the IR of an ONNX file beside it."""
    xml = file.with_suffix(".xml")
    to_openvino(file, xml, half=True)
    return xml


def features(givens: Climb, model: onnx.ModelProto, *pixels: Pixels) -> list[Floats]:
    """Return the features (n, width) that the int8 network gives for sets of pictures."""
    file = givens.folder / "features.onnx"
    onnx.save(features_only(model), file)
    network = converted(file)
    return [run_file(network, "openvino", one, batch=_BATCH).logits for one in pixels]


def _rounded(givens: Climb, source: Path, steps: int) -> Path:
    out = source.with_name(f"{source.stem}-rounded-{steps}.onnx")
    if not out.exists():
        float_model, means = onnx.load(source), givens.folder / "means.onnx"
        onnx.save(means_graph(float_model), means)
        found = run_file(converted(means), "openvino", givens.images[:_MEANS_OF], batch=_BATCH).logits
        onnx.save(rounded(float_model, found, steps), out)
    return out
