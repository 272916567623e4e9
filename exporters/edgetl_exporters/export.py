"""From a trained model to a bundle, as it happens: ONNX, parity, int8, measure, pack, prove.

Every file is measured as saved, by the engine that will run it. Nothing is written where a promise breaks.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from edgetl_exporters.calibration import calibration_pictures
from edgetl_exporters.candidate import Climb, Quantize
from edgetl_exporters.floats import parity, write_floats
from edgetl_exporters.labels import refuse_swapped, unseen
from edgetl_exporters.made import packed
from edgetl_exporters.making import make_all
from edgetl_exporters.model import (
    Cpu,
    ExportData,
    HeadSolver,
    Model,
    OnMiss,
    Silent,
    TemperatureFitter,
    Watcher,
)
from edgetl_exporters.on_ethosu import require_compiler
from edgetl_exporters.on_qnn import require_device
from edgetl_exporters.origin import export_facts
from edgetl_exporters.pack import pack
from edgetl_exporters.parity import PICTURES
from edgetl_exporters.reference import reference_cases
from edgetl_exporters.report import Report
from edgetl_exporters.temperature import fit_temperature as fit_by_search
from edgetl_exporters.to_int8 import quantize as quantize_file
from edgetl_exporters.variants import DEFAULT, VariantName, ordered, wants_int8
from edgetl_runtime.atomic import refuse_place
from edgetl_runtime.errors import InputError
from edgetl_runtime.manifest import MAX_BATCH
from edgetl_runtime.signature import check_private_key

# Training pictures that calibrate: 300 gave the same answers within noise, in three times the time.
CALIBRATION = 100


class Options(TypedDict, total=False):
    """What an export may be asked for, whatever its source; `export` says what each means."""

    variants: Sequence[str]
    max_drop: float
    on_miss: OnMiss
    cpu: Cpu
    min_precision: float | None
    static_batch: int | None
    sign: Path | None
    calibration: int
    watcher: Watcher | None


def export(
    model: Model,
    data: ExportData,
    out: Path,
    *,
    variants: Sequence[str] = DEFAULT,
    max_drop: float = 0.005,
    on_miss: OnMiss = "fail",
    cpu: Cpu = "vnni",
    min_precision: float | None = None,
    static_batch: int | None = None,
    sign: Path | None = None,
    calibration: int = CALIBRATION,
    solve_head: HeadSolver | None = None,
    fit_temperature: TemperatureFitter | None = None,
    provenance: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    quantize: Quantize = quantize_file,
) -> Report:
    """Write a bundle and report what was measured on the way.

    Model and data are all that it takes: a torch module, or an ONNX file, that anybody trained, and pictures
    in three roles. docs/howto/own-model.md has an example.

    Args:
        out: a folder to be made, or a file that ends in .zip.
        max_drop: the drop of accuracy that int8 may cost, 0–1.
        on_miss: what becomes of an int8 that misses it, or of a bf16: "fail" raises, "fp16" leaves it out and
            says so.
        cpu: what int8 will run on. "vnni" and "arm" sum products exactly and get 8-bit weights; on "any" x86
            some saturate, which 7-bit weights exclude.
        min_precision: 0–1, of the answers that are given: each variant gets a threshold of confidence below
            which a device rejects, single label only.
        static_batch: write files that take exactly so many pictures, for NPUs; None leaves the batch open.
        sign: a PEM file with an Ed25519 private key; None leaves the bundle unsigned.
        calibration: at most so many training pictures calibrate the quantizers.
        solve_head: the training's own, for two rungs of the int8 ladder, which None leaves out.
        fit_temperature: the training's own; None searches the least cross entropy.
        provenance: where the model comes from, as JSON; no paths, no dates.

    Raises:
        ContractError: the graph is not the trained network, int8 misses the limit, or no threshold keeps the
            precision; nothing is written.
        ProofError: a written variant disagrees with its own references; nothing is left behind.
        InputError: `out` exists, or an argument is not allowed.
    """
    begun, wanted, watcher = time.monotonic(), ordered(variants), watcher or Silent()
    _check(model, max_drop, min_precision, static_batch, calibration)
    _check_surroundings(wanted, data, out, sign)
    fit = fit_temperature or (lambda logits, targets: fit_by_search(model.task, logits, targets))
    with tempfile.TemporaryDirectory(prefix="edgetl-export-") as name:
        watcher.phase("ONNX and OpenVINO files")
        floats = write_floats(model, data, Path(name), fit, static_batch)
        watcher.phase(f"parity with the trained network on {PICTURES} pictures")
        found, pictures = parity(data, floats)
        refuse_swapped(floats.judged[0], model.classes)
        givens = Climb(
            floats.model,
            floats.onnx,
            data,
            floats.judged,
            limit=max_drop,
            bits=7 if cpu == "any" else 8,
            images=calibration_pictures(data.train, calibration),
            static_batch=static_batch,
            folder=Path(name),
            quantize=quantize,
            solve_head=_able(solve_head, model, data, watcher) if wants_int8(wanted) else None,
            fit_temperature=fit,
            watcher=watcher,
        )
        making = make_all(wanted, floats, givens, min_precision, on_miss)
        cases = reference_cases(model.preprocess)
        bundled = [packed(one, floats, making.ladder, givens, cases) for one in making.made]
        facts = dict(provenance or {}) | {"export": export_facts(floats.onnx, cpu)}
        manifest = pack(floats.model, bundled, cases, out, facts, key=sign)
    return Report(
        name=model.name,
        bundle_id=manifest.hash,
        max_drop=max_drop,
        parity=found,
        parity_pictures=pictures,
        rungs=making.ladder.rows,
        variants=tuple(one.row(manifest) for one in making.made),
        left_out=making.left_out,
        seconds=time.monotonic() - begun,
    )


def _check(
    model: Model,
    max_drop: float,
    min_precision: float | None,
    static_batch: int | None,
    calibration: int,
) -> None:
    if not 0 < max_drop <= 1:
        raise InputError(f"max_drop must be above 0 and at most 1, got {max_drop!r}; 0.005 is half a point.")
    if min_precision is not None and not 0 < min_precision < 1:
        raise InputError(f"min_precision must be above 0 and below 1, got {min_precision!r}.")
    if min_precision is not None and model.task != "single_label":
        raise InputError("min_precision is for pictures with one label each; leave --min-precision out.")
    if static_batch is not None and not 1 <= static_batch <= MAX_BATCH:
        raise InputError(f"static_batch must be 1 to {MAX_BATCH:,}, got {static_batch!r}.")
    if calibration < 1:
        raise InputError(
            f"calibration must be 1 picture or more, got {calibration!r}; {CALIBRATION} are usual."
        )


def _check_surroundings(
    wanted: Sequence[VariantName], data: ExportData, out: Path, sign: Path | None
) -> None:
    """Refuse what can be known to fail before any work is done."""
    if sign is not None:
        check_private_key(sign)
    refuse_place(out)
    require_device(wanted, data)
    require_compiler(wanted)


def _able(
    solve_head: HeadSolver | None, model: Model, data: ExportData, watcher: Watcher
) -> HeadSolver | None:
    """Return the solver, or None where it would forget classes that no training picture shows."""
    missing = unseen(data.train.targets, model.classes)
    if solve_head is None or not missing:
        return solve_head
    watcher.note(
        f"The head is not solved again: no training picture shows {len(missing):,} of the "
        f"{len(model.classes):,} classes, such as {missing[0]!r}."
    )
    return None
