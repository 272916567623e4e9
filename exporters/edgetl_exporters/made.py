"""A variant on its way into a bundle: its saved file measured, its threshold and references found."""

from collections.abc import Sequence

import numpy as np

from edgetl_exporters.candidate import Climb
from edgetl_exporters.contract import compare
from edgetl_exporters.facts import rung_facts
from edgetl_exporters.floats import FloatFiles
from edgetl_exporters.ladder import Ladder
from edgetl_exporters.measure import Judged, judge, run_file
from edgetl_exporters.pack import PackedVariant
from edgetl_exporters.reference import ReferenceCase
from edgetl_exporters.rejecting import Rejecting, judge_rejecting, threshold
from edgetl_exporters.timing import interleaved_ms
from edgetl_exporters.variants import KINDS, Made, VariantName, tolerance
from edgetl_runtime.errors import ContractError
from edgetl_runtime.manifest import EngineName


def make_float(name: VariantName, floats: FloatFiles, givens: Climb, min_precision: float | None) -> Made:
    """Measure a float variant's saved file on the verifying pictures."""
    kind, verify, batch = KINDS[name], givens.data.verify, givens.static_batch or 1
    file = floats.saved[kind.precision, kind.engine]
    measured = run_file(file, kind.engine, verify.pixels, batch=batch)
    judged = judge(givens.model.task, measured.logits, verify.targets, floats.temperature)
    return Made(
        name,
        file,
        "float",
        floats.temperature,
        measured.p50_ms,
        judged,
        floats.judged[1],
        compare(floats.judged[1], judged, givens.limit),
        verify.sha256,
        rejecting=_rejecting(floats.judged[0], judged, min_precision),
        batch=givens.static_batch,
    )


def make_int8(
    name: VariantName, floats: FloatFiles, ladder: Ladder, givens: Climb, min_precision: float | None
) -> Made:
    """Collect what was measured of an int8 file, which the ladder took, and time it beside its float file."""
    assert ladder.taken is not None
    kind, candidate = KINDS[name], ladder.taken.candidate
    found = ladder.taken.files[kind.engine]
    beside = floats.saved["fp32" if kind.engine == "onnxruntime" else "fp16", kind.engine]
    images = givens.data.verify.pixels[: givens.static_batch or 1]
    images = np.resize(images, (givens.static_batch or 1, *images.shape[1:]))
    times = interleaved_ms({"int8": (found.file, kind.engine), "float": (beside, kind.engine)}, images)
    rungs = {
        "rung": candidate.rung,
        "weights_bits": candidate.plan.bits,
        "float_nodes": len(candidate.plan.float_nodes),
        "looks": ladder.taken.looks,
        "rungs": [rung_facts(row) for row in ladder.rows],
    }
    return Made(
        name,
        found.file,
        candidate.head,
        candidate.temperature,
        times["int8"],
        found.judged,
        floats.judged[1],
        found.comparison,
        givens.data.verify.sha256,
        rejecting=_rejecting(candidate.judged, found.judged, min_precision),
        batch=givens.static_batch,
        rungs=rungs,
        slower_here=times["int8"] >= times["float"],
    )


def refuse_missed(made: Sequence[Made]) -> None:
    """Refuse variants that lose what int8 may not lose either, or that break the promised precision.

    Raises:
        ContractError: with the numbers.
    """
    missed = [f"{one.name}: {'; '.join(one.comparison.against)}" for one in made if one.comparison.against]
    if missed:
        raise ContractError(f"Variants miss the limit: {', '.join(missed)}. Nothing was written.")
    told = {one.name: one.rejecting.against for one in made if one.rejecting is not None}
    broken = [f"{name}: {against}" for name, against in told.items() if against]
    if broken:
        raise ContractError(
            f"The verifying pictures break the promised precision: {', '.join(broken)}. Nothing was written. "
            "Add validation pictures like those of the field, or lower --min-precision."
        )


def packed(
    one: Made, floats: FloatFiles, ladder: Ladder, givens: Climb, cases: Sequence[ReferenceCase]
) -> PackedVariant:
    """Run the reference cases in the variant's engine, and in the other one for the tolerance."""
    kind, batch = KINDS[one.name], givens.static_batch or 1
    pixels = np.stack([case.pixels for case in cases])
    other: EngineName = "onnxruntime" if kind.engine == "openvino" else "openvino"
    if kind.precision == "int8" and ladder.taken is not None:
        beside = ladder.taken.files[other].file
    else:
        beside = floats.saved["fp32", other]
    own = run_file(one.file, kind.engine, pixels, batch=batch).logits
    theirs = run_file(beside, other, pixels, batch=batch).logits
    return PackedVariant(one.variant(tolerance(one.name, own, theirs, floats.logits)), one.sources(), own)


def _rejecting(chosen: Judged, verified: Judged, min_precision: float | None) -> Rejecting | None:
    if min_precision is None:
        return None
    return judge_rejecting(verified, threshold(chosen, min_precision), min_precision)
