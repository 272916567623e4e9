"""int8 for Qualcomm's Hexagon: made in two ways, and held against the float model on the device itself.

On a workstation the Hexagon is Qualcomm's simulator: it answers as a device does, and takes a thousand times
as long. So a candidate is tried on the CPU first, which computes the same whole numbers, and what passes is
verified on the simulator with a part of the verifying pictures. A file may be right on the CPU and wrong
there: what the simulator answers has the last word.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from edgetl_exporters.calibration import part
from edgetl_exporters.candidate import Candidate, Climb, quantized
from edgetl_exporters.contract import compare
from edgetl_exporters.elsewhere import Elsewhere, ElsewhereClimb, judged_elsewhere
from edgetl_exporters.graph import with_static_batch
from edgetl_exporters.ladder import rows
from edgetl_exporters.measure import Measured, judge, run_file
from edgetl_exporters.model import ExportData, Labelled
from edgetl_exporters.to_int8 import Plan, QuantizerError
from edgetl_exporters.to_qnn import Activations, quantizer, temperature_of, tempered
from edgetl_exporters.variants import KINDS, VariantName
from edgetl_runtime.engines import load_engine
from edgetl_runtime.errors import ContractError, EngineError, InputError
from edgetl_runtime.simulated import is_simulated

NAME: VariantName = "qnn-int8"
LEAST_PICTURES = 40

# More tell more, and each takes the simulator a second.
_PICTURES = 64
# A tenth of the power of the logits; what is broken on the simulator is near 0, what is sound above 15.
_LEAST_SIGNAL_DB = 10.0
_DEVICE = "qnn"
_RUNGS: tuple[tuple[str, Activations], ...] = (
    ("qnn, 8-bit activations", 8),
    ("qnn, 16-bit activations", 16),
)


def require_device(wanted: Sequence[VariantName], data: ExportData) -> None:
    """Refuse to make a variant that cannot be verified here, before any work is done for it.

    Raises:
        EngineError: there is neither a Hexagon nor its simulator.
        InputError: there are too few verifying pictures.
    """
    if NAME not in wanted:
        return
    if _DEVICE not in load_engine(KINDS[NAME].engine).devices():
        raise EngineError(
            f"{NAME} is written after a Hexagon or Qualcomm's simulator has run it, and neither is here. "
            "Run: pip install onnxruntime-qnn"
        )
    if len(data.verify) < LEAST_PICTURES:
        raise InputError(
            f"{NAME} is verified on at least {LEAST_PICTURES} pictures, got {len(data.verify)}. "
            f"Add validation pictures, or leave {NAME} out."
        )


def climb_qnn(givens: Climb) -> ElsewhereClimb:
    """Try activations of 8 bits, then of 16, until a file keeps the contract on the device.

    Raises:
        ContractError: no file could be made.
    """
    candidates: list[Candidate] = []
    outcomes: dict[str, tuple[bool, str]] = {}
    failed: list[str] = []
    for name, activations in _RUNGS:
        givens.watcher.phase(f"int8: {name}")
        try:
            candidate = _candidate(givens, name, activations)
        except (QuantizerError, EngineError) as error:  # No file, or none that opens, costs this rung alone.
            failed.append(f"{name}: {error}")
            continue
        candidates.append(candidate)
        if not candidate.comparison.passes:
            continue
        givens.watcher.phase(f"int8: verify {name} on the device, or its simulator")
        try:
            found = _on_device(givens, candidate, looks=len(outcomes) + 1)
        except EngineError as error:  # Some of the graph is nothing for the device.
            outcomes[name] = False, str(error)
            continue
        outcomes[name] = found.comparison.passes, "; ".join(found.comparison.against) or "taken"
        if found.comparison.passes:
            return ElsewhereClimb(rows(givens, candidates, outcomes), found)
    if not candidates:
        raise ContractError(f"There is no int8 of this network for the Hexagon: {'; '.join(failed)}.")
    return ElsewhereClimb(rows(givens, candidates, outcomes), None)


def _candidate(givens: Climb, name: str, activations: Activations) -> Candidate:
    """Quantize, and judge the file on the choosing pictures as the CPU runs it."""
    file, batch, choose = givens.folder / f"qnn-{activations}.onnx", _batch(givens), givens.data.choose
    plan = Plan("onnxruntime", float_classifier=False)
    quantized(replace(givens, quantize=quantizer(activations)), givens.source, plan, file)
    onnx.save(with_static_batch(onnx.load(file), batch), file)
    logits = run_file(file, "onnxruntime", choose.pixels, batch=batch).logits
    fitted = tempered(onnx.load(file), givens.fit_temperature(logits, choose.targets))
    onnx.save(fitted, file)
    temperature = temperature_of(fitted)
    judged = judge(givens.model.task, logits, choose.targets, temperature)
    return Candidate(
        name, "float", plan, file, temperature, judged, compare(givens.reference[0], judged, givens.limit)
    )


def _on_device(givens: Climb, candidate: Candidate, *, looks: int) -> Elsewhere:
    """Judge the file on a part of the verifying pictures as the device runs it."""
    verify = part(givens.data.verify, givens.limit, _PICTURES)
    measured, against = _reloaded(givens, candidate, verify[1])
    found = judged_elsewhere(
        givens,
        candidate,
        verify,
        measured.logits,
        measured_on=measured.device,
        p50_ms=None if is_simulated(measured.device) else measured.p50_ms,
        looks=looks,
    )
    if not found.signal_db >= _LEAST_SIGNAL_DB:
        told = f"the logits have {found.signal_db:.1f} dB of signal to noise, {_LEAST_SIGNAL_DB:g} wanted"
        against.append(told)
    return found.against(against)


def _reloaded(givens: Climb, candidate: Candidate, verify: Labelled) -> tuple[Measured, list[str]]:
    """Run the pictures on what was compiled and read back; say so where that answers otherwise."""
    place, batch = givens.folder / f"{candidate.file.stem}-compiled", _batch(givens)
    place.mkdir()

    def run(pixels: NDArray[np.uint8]) -> Measured:
        return run_file(candidate.file, "onnxruntime", pixels, batch=batch, device=_DEVICE, cache=place)

    first = run(verify.pixels[:batch])
    again = run(verify.pixels)
    same = np.array_equal(first.logits, again.logits[: len(first.logits)])
    return again, [] if same else ["the context binary, read back, gives other logits"]


def _batch(givens: Climb) -> int:
    """Return how many pictures the file takes: an open number is nothing for such a device."""
    return givens.static_batch or 1
