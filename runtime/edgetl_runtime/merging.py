"""Receipts of different pictures added up to one, as of a single validation of all of them.

Answers are put together and the figures follow from them. Times cannot be: of them the worst is told. Knows
receipts alone, no bundle and no picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.confidence import joined_answers
from edgetl_runtime.environment import machine_differences, version_differences
from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.performance import worst_of
from edgetl_runtime.pictures import Unreadable, fingerprint_of
from edgetl_runtime.predictions import MAX_CELLS, MAX_PICTURES, Predictions
from edgetl_runtime.receipt import DatasetId, Latency, Receipt
from edgetl_runtime.strict_json import brief
from edgetl_runtime.tally import tally, tally_by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.environment import Environment

__all__ = ["merge"]

_SHOWN = 3
# What one validation has one of.
_ALIKE: Mapping[str, Callable[[Receipt], object]] = {
    "bundle": lambda one: one.bundle.id,
    "variant": lambda one: one.variant,
    "device": lambda one: one.device,
    "task": lambda one: one.task,
    "classes": lambda one: one.classes,
    "split": lambda one: one.dataset.split,
    "number of cores": lambda one: one.environment.cores,
}


def merge(receipts: Sequence[Receipt], names: Sequence[str]) -> Receipt:
    """Add up receipts of different pictures, in the order in which they are given.

    Figures, intervals and classes are those of one validation of all pictures. The fingerprint is that of the
    pictures that were answered; so is that of a validation, where it left none out and used all splits.
    Percentiles of times and the performance are the worst of any receipt.

    Args:
        names: What the messages call them.

    Raises:
        ReceiptError: They are of several bundles, variants, devices, tasks, splits or kinds of machine; they
            share pictures; or they have more than a receipt may hold.
    """
    if len(receipts) < 2:
        raise ReceiptError(f"Two receipts or more are added up, got {len(receipts)}. Name all of them.")
    _refuse_unlike(receipts, names)
    _refuse_many(receipts)
    _refuse_shared(receipts, names)
    first, predictions = receipts[0], _joined([one.predictions for one in receipts])
    figures = tally(first.classes, predictions) | joined_answers([one.figures for one in receipts])
    return replace(
        first,
        created=max((one.created for one in receipts), key=datetime.fromisoformat),
        dataset=_dataset(receipts, predictions),
        figures=figures,
        per_class=tally_by_class(first.classes, predictions),
        latency={
            stage: Latency.bound([one.latency[stage] for one in receipts])
            for stage in first.latency
            if all(stage in one.latency for one in receipts)
        },
        environment=_environment([one.environment for one in receipts]),
        performance=worst_of([one.performance for one in receipts]),
        errors=_errors(receipts),
        predictions=predictions,
    )


def _refuse_unlike(receipts: Sequence[Receipt], names: Sequence[str]) -> None:
    """Name all in which any receipt differs from the first."""
    complaints = [
        f"{name}: {', '.join(found)}"
        for one, name in zip(receipts[1:], names[1:], strict=True)
        if (found := _differences(receipts[0], one, (names[0], name)))
    ]
    if complaints:
        more = f"; and {len(complaints) - _SHOWN} more" if len(complaints) > _SHOWN else ""
        raise ReceiptError(
            f"These receipts cannot be added up with {names[0]}: {'; '.join(complaints[:_SHOWN])}{more}. "
            "Validate all with one bundle, variant and device, on machines of one kind, or leave them out."
        )


def _differences(first: Receipt, other: Receipt, names: Sequence[str]) -> list[str]:
    values = ((what, of(first), of(other)) for what, of in _ALIKE.items())
    found = [f"the {what} {brief(one)} and {brief(two)}" for what, one, two in values if one != two]
    sides = first.environment, other.environment
    return found + machine_differences(*sides, names) + version_differences(*sides)


def _refuse_many(receipts: Sequence[Receipt]) -> None:
    n, first = sum(len(one.predictions) for one in receipts), receipts[0]
    cells = n * len(first.classes) if first.task == "multi_label" else 0
    for count, most, what in ((n, MAX_PICTURES, "pictures"), (cells, MAX_CELLS, "pictures x classes")):
        if count > most:
            raise ReceiptError(
                f"The receipts have {count:,} {what}, and one receipt at most {most:,}. Add up fewer of them."
            )


def _refuse_shared(receipts: Sequence[Receipt], names: Sequence[str]) -> None:
    """Refuse a picture that is in two receipts: it would count twice."""
    hashes = np.concatenate([np.array(one.predictions.sha256, "S64") for one in receipts])
    owners = np.repeat(np.arange(len(receipts)), [len(one.predictions) for one in receipts])
    order = np.argsort(hashes, kind="stable")
    twice = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    if len(twice):
        one, other = (names[owners[order[twice[0] + k]]] for k in (0, 1))
        shown = hashes[order[twice[0]]].decode()[:12]
        raise ReceiptError(
            f"{len(twice):,} pictures are in two receipts, such as {shown} in {one} and {other}: each must "
            "count once. Leave one of the two out, or remove the copies from the shards and validate again."
        )


def _joined(parts: Sequence[Predictions]) -> Predictions:
    def column(name: str) -> NDArray[Any] | None:
        found = [getattr(part, name) for part in parts]
        return None if any(one is None for one in found) else np.concatenate(found)

    return Predictions(
        classes=parts[0].classes,
        sha256=tuple(sha for part in parts for sha in part.sha256),
        target=np.concatenate([part.target for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        confidence=np.concatenate([part.confidence for part in parts]),
        probabilities=column("probabilities"),
        untempered=column("untempered"),
    )


def _dataset(receipts: Sequence[Receipt], predictions: Predictions) -> DatasetId:
    names = list(dict.fromkeys(one.dataset.name for one in receipts))
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    rows = zip(predictions.sha256, _labels(receipts[0].classes, predictions.target), strict=True)
    return DatasetId(name, fingerprint_of(rows), len(predictions), receipts[0].dataset.split)


def _labels(classes: Sequence[str], target: NDArray[Any]) -> list[tuple[str, ...]]:
    """Return the labels of each picture, sorted."""
    if target.ndim == 1:
        return [(classes[number],) for number in target.tolist()]
    return [tuple(sorted(classes[number] for number in np.flatnonzero(row).tolist())) for row in target]


def _environment(parts: Sequence[Environment]) -> Environment:
    """Tell of machines of one kind; what of their systems differs is all named."""
    os, python = (", ".join(dict.fromkeys(getattr(one, name) for one in parts)) for name in ("os", "python"))
    notes = dict.fromkeys(note for one in parts for note in one.notes)
    added = f"added up from {len(parts)} receipts: times and performance are the worst of any"
    return replace(parts[0], os=os, python=python, notes=(*notes, added))


def _errors(receipts: Sequence[Receipt]) -> tuple[Unreadable, ...]:
    """Put together what was left out; where the datasets have other names, each path begins with its own."""
    several = len({one.dataset.name for one in receipts}) > 1
    return tuple(
        Unreadable(Path(one.dataset.name, error.path) if several else error.path, error.reason)
        for one in receipts
        for error in one.errors
    )
