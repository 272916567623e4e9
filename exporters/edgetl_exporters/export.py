"""From a trained model to a bundle, as it happens: ONNX, parity, int8, measure, pack, prove.

Every file is measured as saved, by the engine that will run it. Nothing is written where a promise breaks.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgetl_exporters.contract import compare
from edgetl_exporters.ladder import Climb, Ladder, Quantize, Taken, climb
from edgetl_exporters.measure import Judged, judge, run_file
from edgetl_exporters.model import (
    ExportData,
    Floats,
    HeadSolver,
    Labelled,
    Model,
    OnMiss,
    Pixels,
    Provenance,
    TemperatureFitter,
    Watcher,
)
from edgetl_exporters.pack import PackedVariant, pack, refuse_existing
from edgetl_exporters.parity import PICTURES, check_parity
from edgetl_exporters.reference import reference_cases
from edgetl_exporters.report import Report
from edgetl_exporters.to_int8 import quantize as quantize_file
from edgetl_exporters.to_onnx import to_onnx, torch_logits
from edgetl_exporters.to_openvino import to_openvino
from edgetl_exporters.variants import DEFAULT, KINDS, Made, VariantName, ordered, tolerance
from edgetl_runtime.errors import ContractError
from edgetl_runtime.manifest import EngineName

# Training pictures that calibrate: 300 gave the same answers within noise, in three times the time.
CALIBRATION = 100


@dataclass(frozen=True, slots=True, eq=False)
class _Float:
    """The float model in ONNX and as fp32 and fp16 IR, and what it answers.

    logits: of the choosing, then the verifying pictures. judged: the same, one for each of the two.
    """

    onnx: Path
    fp32: Path
    fp16: Path
    logits: Floats
    judged: tuple[Judged, Judged]


def export(
    model: Model,
    data: ExportData,
    out: Path,
    *,
    variants: Sequence[str] = DEFAULT,
    max_drop: float = 0.01,
    on_miss: OnMiss = "fail",
    calibration: int = CALIBRATION,
    solve_head: HeadSolver,
    fit_temperature: TemperatureFitter,
    provenance: Provenance,
    watcher: Watcher,
    quantize: Quantize = quantize_file,
) -> Report:
    """Write a bundle and report what was measured on the way.

    Args:
        out: a folder to be made, or a file that ends in .zip.
        max_drop: the drop of accuracy that int8 may cost, 0–1.
        on_miss: what becomes of an int8 that misses it: "fail" raises, "fp16" leaves int8 out and says so.
        calibration: at most so many training pictures calibrate the quantizers.
        solve_head, fit_temperature: the training's own, for the int8 candidates.
        provenance: where the model comes from, as JSON; no paths, no dates.

    Raises:
        ContractError: the graph is not the trained network, or int8 misses the limit; nothing is written.
        ProofError: a written variant disagrees with its own references; nothing is left behind.
        InputError: `out` exists, or an argument is not allowed.
    """
    begun, wanted = time.monotonic(), ordered(variants)
    refuse_existing(out)
    with tempfile.TemporaryDirectory(prefix="edgetl-export-") as name:
        folder = Path(name)
        watcher.phase("ONNX and OpenVINO files")
        float_model = _convert(model, data, folder)
        watcher.phase(f"parity with torch on {PICTURES} pictures")
        parity, pictures = _parity(model, data, float_model)
        ladder = None
        if any(KINDS[name].precision == "int8" for name in wanted):
            givens = Climb(
                source=float_model.onnx,
                task=model.task,
                data=data,
                reference=float_model.judged,
                limit=max_drop,
                calibration=calibration,
                folder=folder,
                quantize=quantize,
                solve_head=solve_head,
                fit_temperature=fit_temperature,
                watcher=watcher,
            )
            ladder = climb(givens)
        left_out = _missed(ladder, wanted, max_drop, on_miss, watcher)
        watcher.phase("measure and pack")
        cases, taken = reference_cases(model.preprocess), ladder.taken if ladder else None
        made = [
            _make_int8(name, taken)
            if taken is not None and KINDS[name].precision == "int8"
            else _make_float(name, model, float_model, data.verify, max_drop)
            for name in wanted
            if name not in left_out
        ]
        _refuse_missed(made)
        pixels = np.stack([case.pixels for case in cases])
        packed = [_pack_one(one, float_model, taken, pixels) for one in made]
        manifest = pack(model, packed, cases, out, provenance)
    return Report(
        name=model.name,
        bundle_id=manifest.hash,
        max_drop=max_drop,
        parity=parity,
        parity_pictures=pictures,
        rungs=ladder.rows if ladder else (),
        variants=tuple(one.row(float_model.judged[1], manifest) for one in made),
        left_out=left_out,
        seconds=time.monotonic() - begun,
    )


def _convert(model: Model, data: ExportData, folder: Path) -> _Float:
    """Write the float files and let the fp32 one answer all choosing and verifying pictures."""
    onnx, fp32, fp16 = (folder / name for name in ("model.onnx", "model.fp32.xml", "model.fp16.xml"))
    to_onnx(model, onnx)
    to_openvino(onnx, fp32, half=False)
    to_openvino(onnx, fp16, half=True)
    roles = (data.choose, data.verify)
    logits = [run_file(fp32, "openvino", role.pixels, batch=16).logits for role in roles]
    judged = [
        judge(model.task, rows, role.targets, model.temperature)
        for rows, role in zip(logits, roles, strict=True)
    ]
    return _Float(onnx, fp32, fp16, np.concatenate(logits), (judged[0], judged[1]))


def _parity(model: Model, data: ExportData, files: _Float) -> tuple[dict[str, float], int]:
    """Compare the float files with the trained module on pictures spread over both roles."""
    pixels = np.concatenate([data.choose.pixels, data.verify.pixels])
    targets = np.concatenate([data.choose.targets, data.verify.targets])
    chosen = np.unique(np.linspace(0, len(pixels) - 1, PICTURES).astype(int))
    got = {
        "onnx-fp32": run_file(files.onnx, "onnxruntime", pixels[chosen], batch=16).logits,
        "openvino-fp32": files.logits[chosen],
    }
    found = check_parity(model, torch_logits(model, pixels[chosen]), got, targets[chosen])
    return found, len(chosen)


def _missed(
    ladder: Ladder | None, wanted: Sequence[VariantName], max_drop: float, on_miss: OnMiss, watcher: Watcher
) -> dict[str, str]:
    """Return the variants that int8's miss leaves out, with the reason.

    Raises:
        ContractError: the miss is to be an error, or nothing would be left.
    """
    if ladder is None or ladder.taken is not None:
        return {}
    tried = "; ".join(f"{row.rung}: {row.outcome}" for row in ladder.rows)
    reason = f"int8 misses its limit of {100 * max_drop:g} points on the verifying pictures: {tried}"
    missed: dict[str, str] = {name: reason for name in wanted if KINDS[name].precision == "int8"}
    if on_miss == "fail" or len(missed) == len(wanted):
        raise ContractError(
            f"{reason}. Nothing was written. Add training pictures, allow more with --max-drop, or export "
            "without int8: --on-miss fp16."
        )
    watcher.note(f"Left out: {', '.join(missed)}; {reason}.")
    return missed


def _make_float(name: VariantName, model: Model, files: _Float, verify: Labelled, limit: float) -> Made:
    """Measure a float file on the verifying pictures."""
    kind = KINDS[name]
    file = files.onnx if kind.engine == "onnxruntime" else getattr(files, kind.precision)
    measured = run_file(file, kind.engine, verify.pixels)
    judged = judge(model.task, measured.logits, verify.targets, model.temperature)
    comparison = compare(files.judged[1], judged, limit)
    return Made(name, file, "float", model.temperature, measured, judged, comparison)


def _make_int8(name: VariantName, taken: Taken) -> Made:
    """Collect what the ladder has measured of the candidate's file in the variant's engine."""
    found, candidate = taken.files[KINDS[name].engine], taken.candidate
    return Made(
        name,
        found.file,
        candidate.head,
        candidate.temperature,
        found.measured,
        found.judged,
        found.comparison,
        rung=candidate.rung,
    )


def _pack_one(one: Made, files: _Float, taken: Taken | None, pixels: Pixels) -> PackedVariant:
    """Run the reference cases (cases, size, size, 3) in the variant's engine and in the other one."""
    kind = KINDS[one.name]
    other: EngineName = "onnxruntime" if kind.engine == "openvino" else "openvino"
    if kind.precision == "int8" and taken is not None:
        beside = taken.files[other].file
    else:
        beside = files.onnx if other == "onnxruntime" else files.fp32
    own = run_file(one.file, kind.engine, pixels).logits
    theirs = run_file(beside, other, pixels).logits
    variant = one.variant(files.judged[1], tolerance(one.name, own, theirs, files.logits))
    return PackedVariant(variant, one.sources(), own)


def _refuse_missed(made: Sequence[Made]) -> None:
    """Refuse float variants that lose what int8 may not lose either."""
    missed = [f"{one.name}: {'; '.join(one.comparison.against)}" for one in made if one.comparison.against]
    if missed:
        raise ContractError(f"Variants miss the limit: {', '.join(missed)}. Nothing was written.")
