"""A variant on its way into a bundle: its saved file measured, its threshold and references found."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgetl_exporters.candidate import Climb
from edgetl_exporters.contract import compare
from edgetl_exporters.elsewhere import Elsewhere
from edgetl_exporters.embedded import Embedded
from edgetl_exporters.facts import rung_facts
from edgetl_exporters.floats import FloatFiles
from edgetl_exporters.ladder import Ladder
from edgetl_exporters.measure import Judged, Measured, judge, run_file
from edgetl_exporters.model import Labelled
from edgetl_exporters.pack import PackedVariant
from edgetl_exporters.parity import check_saved
from edgetl_exporters.reference import ReferenceCase
from edgetl_exporters.rejecting import Rejecting, judge_rejecting, threshold
from edgetl_exporters.report import RungRow
from edgetl_exporters.timing import interleaved_ms
from edgetl_exporters.to_half import to_half
from edgetl_exporters.variants import KINDS, Kind, Made, VariantName, tolerance
from edgetl_runtime.manifest import EngineName


def make_float(name: VariantName, floats: FloatFiles, givens: Climb, min_precision: float | None) -> Made:
    """Measure a float variant's saved file on the verifying pictures.

    Raises:
        ContractError: the file is another network than the float model.
        EngineError: this processor does not compute as the variant does.
    """
    kind, verify, batch = KINDS[name], givens.data.verify, givens.static_batch or 1
    file = _float_file(name, floats, givens.folder)

    def run(role: Labelled) -> tuple[Measured, Judged]:
        ran = run_file(file, kind.engine, role.pixels, batch=batch, execution=kind.execution)
        return ran, judge(givens.model.task, ran.logits, role.targets, floats.temperature)

    ran, judged = run(verify)
    if not kind.rounds:
        own = floats.logits[len(givens.data.choose) :]
        check_saved(name, givens.model.task, own, ran.logits, half=kind.precision == "fp16")
    # What rounds has confidences of its own; the others have those of the float model.
    chosen = run(givens.data.choose)[1] if kind.rounds and min_precision is not None else floats.judged[0]
    return Made(
        name,
        file,
        "float",
        floats.temperature,
        None if kind.elsewhere else ran.p50_ms,
        judged,
        floats.judged[1],
        compare(floats.judged[1], judged, givens.limit),
        verify.sha256,
        rejecting=_rejecting(chosen, judged, min_precision),
        batch=givens.static_batch,
    )


def make_int8(
    name: VariantName, floats: FloatFiles, ladder: Ladder, givens: Climb, min_precision: float | None
) -> Made:
    """Collect what was measured of an int8 file, which the ladder took, and time it beside its float file."""
    assert ladder.taken is not None
    kind, candidate = KINDS[name], ladder.taken.candidate
    found = ladder.taken.files[kind.engine]
    p50_ms, slower_here = (None, False) if kind.elsewhere else _beside_float(found.file, kind, floats, givens)
    rungs = {
        "rung": candidate.rung,
        "weights_bits": candidate.plan.bits,
        "looks": ladder.taken.looks,
        "rungs": [rung_facts(row) for row in ladder.rows],
    }
    return Made(
        name,
        found.file,
        candidate.head,
        candidate.temperature,
        p50_ms,
        found.judged,
        floats.judged[1],
        found.comparison,
        givens.data.verify.sha256,
        rejecting=_rejecting(candidate.judged, found.judged, min_precision),
        batch=givens.static_batch,
        rungs=rungs,
        slower_here=slower_here,
    )


def make_elsewhere(
    name: VariantName,
    found: Elsewhere,
    givens: Climb,
    ladder: Sequence[RungRow],
    min_precision: float | None,
    embedded: Embedded | None = None,
) -> Made:
    """Collect what was answered of a candidate's file elsewhere, or of what was compiled of it."""
    candidate = found.candidate
    return Made(
        name,
        candidate.file if embedded is None else embedded.compiled,
        candidate.head,
        candidate.temperature,
        found.p50_ms,
        found.judged,
        found.reference,
        found.comparison,
        found.sha256,
        rejecting=_rejecting(candidate.judged, found.judged, min_precision),
        batch=1 if embedded is not None else givens.static_batch or 1,
        rungs=found.facts(ladder),
        embedded=embedded,
    )


def packed(
    one: Made, floats: FloatFiles, ladder: Ladder, givens: Climb, cases: Sequence[ReferenceCase]
) -> PackedVariant:
    """Run the reference cases in the variant's engine, and in the other one for the tolerance."""
    kind, batch, device = KINDS[one.name], givens.static_batch or 1, KINDS[one.name].device or "cpu"
    pixels = np.stack([case.pixels for case in cases])
    if one.embedded is not None:
        own = one.embedded.logits(pixels)
        theirs = run_file(one.embedded.quantized, "onnxruntime", pixels).logits
        return PackedVariant(one.variant(tolerance(one.name, own, theirs, floats.logits)), one.sources(), own)
    other: EngineName = "onnxruntime" if kind.engine == "openvino" else "openvino"
    if kind.device is not None:
        beside, other = one.file, kind.engine  # On the CPU, which computes the same whole numbers.
    elif kind.precision == "int8" and ladder.taken is not None:
        beside = ladder.taken.files[other].file
    else:
        beside = floats.saved["fp32", other]
    own = run_file(one.file, kind.engine, pixels, batch=batch, execution=kind.execution, device=device).logits
    theirs = run_file(beside, other, pixels, batch=batch).logits
    return PackedVariant(one.variant(tolerance(one.name, own, theirs, floats.logits)), one.sources(), own)


def _float_file(name: VariantName, floats: FloatFiles, folder: Path) -> Path:
    kind = KINDS[name]
    if (kind.precision, kind.engine) != ("fp16", "onnxruntime"):
        return floats.saved[kind.precision, kind.engine]
    half = folder / "model.fp16.onnx"
    to_half(floats.saved["fp32", "onnxruntime"], half)
    return half


def _beside_float(file: Path, kind: Kind, floats: FloatFiles, givens: Climb) -> tuple[float, bool]:
    """Return the median milliseconds of a batch, and whether it is not faster than the float file."""
    beside = floats.saved["fp32" if kind.engine == "onnxruntime" else "fp16", kind.engine]
    images = givens.data.verify.pixels[: givens.static_batch or 1]
    images = np.resize(images, (givens.static_batch or 1, *images.shape[1:]))
    times = interleaved_ms({"int8": (file, kind.engine), "float": (beside, kind.engine)}, images)
    return times["int8"], times["int8"] >= times["float"]


def _rejecting(chosen: Judged, verified: Judged, min_precision: float | None) -> Rejecting | None:
    if min_precision is None:
        return None
    return judge_rejecting(verified, threshold(chosen, min_precision), min_precision)
