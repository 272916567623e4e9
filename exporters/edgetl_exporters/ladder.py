"""The int8 ladder: every rung is measured on the choosing pictures, the best is verified as a saved file.

A rung is one way to make int8 of the float ONNX file. All of them are tried, since one costs seconds and the
better is not known before: which quantizer does less harm differs from network to network. Their order on the
choosing pictures, those that pass first and then by loss, is the order in which they are verified, on
pictures that nothing was fitted to, by the engines that will run them; the first that passes is taken.

The classifier stays in float on every rung. Quantizing it too is no rung: it turned a detector of defects
into a coin toss, with either quantizer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from edgetl_exporters.calibration import calibration_pictures
from edgetl_exporters.contract import Comparison, compare
from edgetl_exporters.graph import features_only, read_temperature, with_head, with_temperature
from edgetl_exporters.measure import Judged, Measured, agreeing, judge, run_file
from edgetl_exporters.model import ExportData, Floats, HeadSolver, Pixels, TemperatureFitter, Watcher
from edgetl_exporters.report import RungRow
from edgetl_exporters.rounding import means_graph, rounded
from edgetl_exporters.to_int8 import Quantizer
from edgetl_exporters.to_openvino import to_openvino
from edgetl_runtime.manifest import EngineName
from edgetl_runtime.manifest import Head as HeadKind
from edgetl_runtime.pictures import Task
from edgetl_runtime.statistics import wilson

_ENGINES: tuple[EngineName, ...] = ("openvino", "onnxruntime")
# Enough to keep a processor busy; single pictures would take twice as long.
_BATCH = 16
# Calibration pictures that give the mean inputs of layers; means need fewer than ranges.
_MEANS_OF = 64


class Quantize(Protocol):
    """Makes an int8 QDQ file of a float ONNX file; `to_int8.quantize` does."""

    def __call__(self, onnx_path: Path, out: Path, *, quantizer: Quantizer, images: Pixels) -> None:
        """Write `out`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Climb:
    """The givens of a climb.

    source: the float ONNX file. reference: the float model on the choosing and the verifying pictures. limit:
    the drop of accuracy that is allowed, 0–1. calibration: at most so many pictures. folder: for the files.
    """

    source: Path
    task: Task
    data: ExportData
    reference: tuple[Judged, Judged]
    limit: float
    calibration: int
    folder: Path
    quantize: Quantize
    solve_head: HeadSolver
    fit_temperature: TemperatureFitter
    watcher: Watcher


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A rung's outcome on the choosing pictures. file: the ONNX file, its temperature fitted."""

    rung: str
    head: HeadKind
    file: Path
    temperature: float
    judged: Judged
    comparison: Comparison


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """A candidate's file in one engine, on the verifying pictures."""

    file: Path
    measured: Measured
    judged: Judged
    comparison: Comparison


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The candidate that kept the contract, with its file in each engine."""

    candidate: Candidate
    files: dict[EngineName, Verified]


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """What became of a climb; `taken` is None when every candidate misses."""

    rows: tuple[RungRow, ...]
    taken: Taken | None


def climb(givens: Climb) -> Ladder:
    """Try all rungs, then verify the candidates, the best first, until one keeps the contract."""
    candidates: list[Candidate] = []
    for name, head, rung in RUNGS:
        givens.watcher.phase(f"int8: {name}")
        file = givens.folder / f"rung-{len(candidates)}.onnx"
        rung(givens, candidates, file)
        candidates.append(_measure(givens, name, head, file))
    givens.watcher.phase("int8: verify")
    outcomes: dict[str, tuple[bool, str]] = {}
    for candidate in sorted(candidates, key=_preference):
        files = {engine: _verify(givens, candidate, engine) for engine in _ENGINES}
        against = sorted({clause for file in files.values() for clause in file.comparison.against})
        outcomes[candidate.rung] = not against, "; ".join(against) or "taken"
        if not against:
            return Ladder(_rows(givens, candidates, outcomes), Taken(candidate, files))
    return Ladder(_rows(givens, candidates, outcomes), None)


def _quantized(quantizer: Quantizer) -> Callable[[Climb, Sequence[Candidate], Path], None]:
    def rung(givens: Climb, candidates: Sequence[Candidate], out: Path) -> None:
        images = calibration_pictures(givens.data.train, givens.calibration)
        givens.quantize(_rounded(givens, images), out, quantizer=quantizer, images=images)

    return rung


def _rounded(givens: Climb, images: Pixels) -> Path:
    """Write the float file with its weights rounded so that errors cancel; both quantizers start from it."""
    out = givens.folder / "rounded.onnx"
    if not out.exists():
        source, means = onnx.load(givens.source), givens.folder / "means.onnx"
        onnx.save(means_graph(source), means)
        found = run_file(_converted(means), "openvino", images[:_MEANS_OF], batch=_BATCH).logits
        onnx.save(rounded(source, found), out)
    return out


def _resolved(givens: Climb, candidates: Sequence[Candidate], out: Path) -> None:
    """Solve the head again on the int8 features of the best file so far: it learns to read int8."""
    best = onnx.load(min(candidates, key=_preference).file)
    features = _features(givens, best, givens.data.train.pixels, givens.data.choose.pixels)
    train, choose = givens.data.train.targets, givens.data.choose.targets
    weight, bias = givens.solve_head(features[0], train, features[1], choose)
    onnx.save(with_head(best, weight, bias), out)


# The rungs in the order in which they are made; the last one builds on those before it.
RUNGS: tuple[tuple[str, HeadKind, Callable[[Climb, Sequence[Candidate], Path], None]], ...] = (
    ("onnxruntime", "float", _quantized("onnxruntime")),
    ("nncf", "float", _quantized("nncf")),
    ("head solved again", "resolved", _resolved),
)


def _preference(candidate: Candidate) -> tuple[bool, float]:
    return not candidate.comparison.passes, candidate.judged.loss


def _measure(givens: Climb, name: str, head: HeadKind, file: Path) -> Candidate:
    """Judge a file on the choosing pictures, and give it the temperature that suits it there."""
    choose = givens.data.choose
    logits = run_file(_converted(file), "openvino", choose.pixels, batch=_BATCH).logits
    temperature = givens.fit_temperature(logits, choose.targets)
    fitted = with_temperature(onnx.load(file), temperature)
    onnx.save(fitted, file)
    judged = judge(givens.task, logits, choose.targets, temperature)
    comparison = compare(givens.reference[0], judged, givens.limit)
    # As stored: float32, which is what the manifest must say.
    return Candidate(name, head, file, read_temperature(fitted), judged, comparison)


def _verify(givens: Climb, candidate: Candidate, engine: EngineName) -> Verified:
    """Judge the saved file on the verifying pictures as the engine runs it."""
    file = candidate.file if engine == "onnxruntime" else _converted(candidate.file)
    verify = givens.data.verify
    measured = run_file(file, engine, verify.pixels)
    judged = judge(givens.task, measured.logits, verify.targets, candidate.temperature)
    return Verified(file, measured, judged, compare(givens.reference[1], judged, givens.limit))


def _converted(file: Path) -> Path:
    xml = file.with_suffix(".xml")
    to_openvino(file, xml, half=True)
    return xml


def _features(givens: Climb, model: onnx.ModelProto, *pixels: Pixels) -> list[Floats]:
    """Return the features (n, width) that the int8 network gives for sets of pictures."""
    file = givens.folder / "features.onnx"
    onnx.save(features_only(model), file)
    lengths = np.cumsum([len(one) for one in pixels])[:-1]
    rows = run_file(_converted(file), "openvino", np.concatenate(pixels), batch=_BATCH).logits
    return np.split(rows, lengths)


def _rows(
    givens: Climb, candidates: Sequence[Candidate], outcomes: dict[str, tuple[bool, str]]
) -> tuple[RungRow, ...]:
    rows = []
    for candidate in candidates:
        same = agreeing(givens.reference[0], candidate.judged)
        verified, outcome = outcomes.get(candidate.rung, (None, "not tried, a better one was taken"))
        row = RungRow(
            rung=candidate.rung,
            head=candidate.head,
            n=candidate.comparison.n,
            accuracy=candidate.judged.accuracy,
            balanced_accuracy=candidate.judged.balanced_accuracy,
            agreement=wilson(int(same.sum()), len(same)),
            drop=candidate.comparison.drop,
            loss=candidate.judged.loss,
            passes=candidate.comparison.passes,
            verified=verified,
            outcome=outcome,
        )
        rows.append(row)
    return tuple(rows)
