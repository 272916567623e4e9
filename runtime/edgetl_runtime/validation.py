"""From an opened session and labelled pictures to a receipt: each picture once, alone, and timed by stage.

It decides nothing: figures come from `metrics`, and whether they are good enough is the gate's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.cautions import of_device
from edgetl_runtime.confidence import answer_figures
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import InputError
from edgetl_runtime.journal import Journal
from edgetl_runtime.measuring import Measured, measure
from edgetl_runtime.pictures import Index, Picture, Progress, Unreadable, index
from edgetl_runtime.predictions import Predictions, rounded
from edgetl_runtime.receipt import BundleId, DatasetId, Latency, Receipt, Stage
from edgetl_runtime.selection import Selection, select
from edgetl_runtime.simulated import is_simulated
from edgetl_runtime.tally import tally, tally_by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.session import Session
    from edgetl_runtime.strict_json import JSON

    Column = NDArray[Any]  # integers or bool, as in `Predictions`

__all__ = ["Measuring", "validate"]

# What asks a session for the pictures that a journal does not know, such as `measure`.
Measuring = Callable[["Session", Sequence[Picture], Journal, Progress], Measured]


def validate(
    session: Session,
    data: Index | Path | str,
    *,
    split: str = "test",
    limit: int | None = None,
    max_unreadable: float = 0.05,
    progress: Progress | None = None,
    journal: Path | None = None,
    resume: bool = False,
    measuring: Measuring = measure,
) -> Receipt:
    """Predict labelled pictures one at a time and return what was measured.

    The most probable class counts, whether or not the bundle would reject it. A simulator's receipt tells no
    times. Left out, and listed in the
    receipt, are pictures that cannot be decoded, further copies, and pictures with contradictory labels.

    Args:
        session: Opened with `batch=1`, for which the times are reported; where the variant's files take more
            pictures at a time, one picture costs as much as all of them.
        data: An index, or the folder, CSV file or tars to index.
        split: "train", "val", "test" or "all". A dataset without splits is used whole.
        limit: Use so many pictures at most, the same ones on every device.
        max_unreadable: The share of the pictures that may be undecodable or contradictory, 0 to 1.
        progress: Is told how many pictures of how many are done.
        journal: A file that keeps each answer as it comes, for the caller to remove once the receipt is safe.
        resume: Go on with that file where there is one; its answers count as they are.
        measuring: Asks for the answers; here and one after the other, unless told otherwise.

    Raises:
        InputError: The dataset does not fit the bundle, too many of its pictures are unusable, or the journal
            is of another bundle, variant, device, number of threads, hint, machine or dataset.
        ContractError: The engine gave numbers that are no probabilities.
    """
    if session.batch != (session.variant.batch or 1):
        raise InputError(
            f"validate times single pictures: open the session with batch=1, got {session.batch}."
        )
    session = session.current  # One bundle is measured, whatever is installed meanwhile.
    dataset = data if isinstance(data, Index) else index(data, check=False, max_unreadable=max_unreadable)
    _refuse_misfit(session, dataset)
    selection = select(dataset, split, limit)
    with Journal(journal, _subject(session, dataset), resume=resume) as kept:
        measured = measuring(session, selection.pictures, kept, progress or _silent)
    _refuse_unusable(selection, measured.unreadable, max_unreadable)
    return _receipt(session, dataset, selection, measured)


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def _refuse_misfit(session: Session, dataset: Index) -> None:
    manifest = session.manifest
    if dataset.task == "multi_label" and manifest.task == "single_label":
        raise InputError(
            f"The dataset has pictures with several labels; the bundle {manifest.name!r} tells one. "
            "Give a dataset with one label per picture."
        )
    unknown = [name for name in dataset.classes if name not in manifest.classes]
    if unknown:
        raise InputError(
            f"The dataset has classes that the bundle {manifest.name!r} does not know.\n"
            f"  unknown: {_names(unknown)}\n  bundle:  {_names(manifest.classes)}\n"
            "Name the folders or labels as the bundle's classes; not all of them need have pictures."
        )


def _names(classes: Sequence[str], most: int = 20) -> str:
    return ", ".join(classes[:most]) + (f" and {len(classes) - most} more" if len(classes) > most else "")


def _refuse_unusable(selection: Selection, unreadable: Sequence[Unreadable], allowed: float) -> None:
    unusable = [*selection.conflicts, *unreadable]
    total = len(selection.pictures) + len(selection.conflicts)
    if len(unusable) == total:
        raise InputError("No picture is left to validate." + _listing(unusable))
    if len(unusable) > allowed * total:
        raise InputError(
            f"{len(unusable)} of {total} pictures are unusable, more than the share {allowed:g} allowed:"
            f"{_listing(unusable)}\nMend or remove them, or allow more with --max-unreadable."
        )


def _listing(unusable: Sequence[Unreadable]) -> str:
    lines = [f"\n  {one.path} {one.reason}" for one in unusable[:5]]
    return "".join(lines) + (f"\n  and {len(unusable) - 5} more" if len(unusable) > 5 else "")


def _receipt(session: Session, dataset: Index, selection: Selection, measured: Measured) -> Receipt:
    manifest, root = session.manifest, dataset.root
    predictions = _predictions(session, measured)
    answers = answer_figures(predictions.right, measured.confidence, _threshold(session))
    notes = (*of_device(session.device), *session.cautions, *measured.notes)
    left_out = [*dataset.unreadable, *selection.copies, *selection.conflicts, *measured.unreadable]
    return Receipt(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        bundle=BundleId(id=session.bundle.id, name=manifest.name),
        variant=session.variant.name,
        device=session.device,
        dataset=DatasetId(root.resolve().name, dataset.fingerprint, len(predictions), selection.split),
        task=manifest.task,
        classes=manifest.classes,
        figures=tally(manifest.classes, predictions) | answers,
        per_class=tally_by_class(manifest.classes, predictions),
        latency={} if is_simulated(session.device) else _latency(measured.times_ms),
        size_bytes=manifest.size_bytes(session.variant),
        environment=replace(read_environment(), notes=notes),
        performance=None if is_simulated(session.device) else measured.performance,
        errors=tuple(Unreadable(_relative(one.path, root), one.reason) for one in left_out),
        predictions=predictions,
    )


def _threshold(session: Session) -> float | None:
    """Return the confidence below which an answer is rejected; of several labels none ever is."""
    return session.variant.reject_below if session.manifest.task == "single_label" else None


def _predictions(session: Session, measured: Measured) -> Predictions:
    shares, untempered = measured.shares, measured.untempered
    return Predictions(
        classes=len(session.manifest.classes),
        sha256=tuple(picture.sha256 for picture in measured.pictures),
        target=_target(session, measured),
        predicted=measured.predicted,
        confidence=rounded(measured.confidence),
        probabilities=None if shares is None else rounded(shares),
        untempered=rounded(untempered) if session.manifest.task == "single_label" else None,
    )


def _subject(session: Session, dataset: Index) -> dict[str, JSON]:
    """Return whatever an answer, and the time that it took, depends on besides the picture."""
    environment = read_environment()
    return {
        "bundle": session.bundle.id,
        "variant": session.variant.name,
        "device": session.device,
        "threads": session.threads,
        "hint": session.hint,
        "dataset": dataset.fingerprint,
        "machine": [environment.cpu, environment.cores, environment.os],
        "versions": dict(environment.versions),
    }


def _target(session: Session, measured: Measured) -> Column:
    """Return the right answers as `Predictions` wants them."""
    classes = session.manifest.classes
    number = {name: k for k, name in enumerate(classes)}
    if session.manifest.task == "single_label":
        return np.array([number[picture.labels[0]] for picture in measured.pictures])
    table = np.zeros((len(measured.pictures), len(classes)), bool)
    for row, picture in zip(table, measured.pictures, strict=True):
        row[[number[name] for name in picture.labels]] = True
    return table


def _latency(times_ms: NDArray[np.float64]) -> dict[Stage, Latency]:
    decode, resize, infer, outputs = times_ms.T
    stages: dict[Stage, NDArray[np.float64]] = {
        "decode": decode,
        "resize": resize,
        "preprocess": decode + resize,
        "infer": infer,
        "outputs": outputs,
        "total": times_ms.sum(axis=1),
    }
    return {stage: Latency.of(column) for stage, column in stages.items()}


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
