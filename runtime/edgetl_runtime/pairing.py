"""Two receipts brought into one order of pictures, or refused with everything in which they differ.

A paired comparison is as good as its pairs: the same pictures with the same targets, the same classes and
task, and, unless another machine is the very question, the same processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.environment import machine_differences
from edgetl_runtime.errors import ReceiptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.receipt import Receipt

    Bools = NDArray[np.bool_]
    Column = NDArray[Any]  # integers, bool or floats, as in `Predictions`

__all__ = ["Pair", "align", "pair"]

SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two receipts' columns in one order of pictures. sha256: (n,) bytes; the others as in `Predictions`."""

    classes: tuple[str, ...]
    sha256: NDArray[np.bytes_]
    target: Column
    before: Column
    after: Column
    before_right: Bools
    after_right: Bools
    before_confidence: Column
    confidence: Column

    @property
    def lost(self) -> Bools:
        """The pictures that only the baseline gets right."""
        return self.before_right & ~self.after_right

    @property
    def gained(self) -> Bools:
        """The pictures that only the candidate gets right."""
        return self.after_right & ~self.before_right

    @property
    def one_label(self) -> bool:
        """Whether a picture has one label, not several."""
        return self.target.ndim == 1

    def flips_by_class(self) -> tuple[Column, Column, Column]:
        """Return what each class lost and gained, and the pictures asked: three (classes,) of integers.

        Of several labels each is judged alone, on every picture.
        """
        classes = len(self.classes)
        if self.one_label:
            some = (self.target[self.lost], self.target[self.gained], self.target)
            lost, gained, size = (np.bincount(column, minlength=classes) for column in some)
            return lost, gained, size
        before, after = self.before == self.target, self.after == self.target
        size = np.full(classes, len(self.target))
        return np.sum(before & ~after, axis=0), np.sum(after & ~before, axis=0), size


def pair(baseline: Receipt, candidate: Receipt, *, across_machines: bool = False) -> Pair:
    """Pair two receipts by the hashes of their pictures.

    Raises:
        ReceiptError: They differ in task, classes, pictures, targets or machine; says how.
    """
    sides = ("baseline", "candidate")
    here, there = align((baseline, candidate), sides)
    if not across_machines:
        _refuse_other_machine(baseline, candidate)
    before, after = baseline.predictions, candidate.predictions
    return Pair(
        classes=baseline.classes,
        sha256=np.array(before.sha256, "S64")[here],
        target=before.target[here],
        before=before.predicted[here],
        after=after.predicted[there],
        before_right=before.right[here],
        after_right=after.right[there],
        before_confidence=before.confidence[here],
        confidence=after.confidence[there],
    )


def align(receipts: Sequence[Receipt], names: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return for each receipt the order that sorts its pictures by hash: equal for all, or it raises.

    Args:
        receipts: At least two; the first is what the others are held against.
        names: What the messages call them.

    Raises:
        ReceiptError: A receipt differs from the first in task, classes, pictures or targets; says how.
    """
    hashes = [np.array(receipt.predictions.sha256, "S64") for receipt in receipts]
    orders = [np.argsort(column) for column in hashes]
    first, name = receipts[0], names[0]
    for place in range(1, len(receipts)):
        other, both = receipts[place], (name, names[place])
        complaints = _different_questions(first, other, both)
        if not np.array_equal(hashes[0][orders[0]], hashes[place][orders[place]]):
            complaints += _different_pictures(hashes[0], hashes[place], both)
        if not complaints:
            targets = [receipts[k].predictions.target[orders[k]] for k in (0, place)]
            complaints = _different_targets(targets[0], targets[1], hashes[0][orders[0]])
        if complaints:
            raise ReceiptError(
                f"The receipts cannot be compared: {'; '.join(complaints)}. "
                "Run validate for all bundles on the same dataset and split."
            )
    return orders


def _different_questions(first: Receipt, other: Receipt, names: Sequence[str]) -> list[str]:
    if first.task != other.task:
        return [f"the task of the {names[0]} is {first.task}, of the {names[1]} {other.task}"]
    if first.classes == other.classes:
        return []
    classes = [set(first.classes), set(other.classes)]
    if classes[0] == classes[1]:
        return ["the classes are in another order"]
    return [
        f"the classes differ: {sorted(some)[:5]} only in the {name}"
        for name, some in zip(names, (classes[0] - classes[1], classes[1] - classes[0]), strict=True)
        if some
    ]


def _different_pictures(
    first: NDArray[np.bytes_], other: NDArray[np.bytes_], names: Sequence[str]
) -> list[str]:
    complaints = []
    for name, some, rest in zip(names, (first, other), (other, first), strict=True):
        alone = np.setdiff1d(some, rest, assume_unique=True)
        if len(alone):
            complaints.append(f"pictures only in the {name}: {_counted(alone)}")
    return complaints


def _different_targets(first: Column, other: Column, hashes: NDArray[np.bytes_]) -> list[str]:
    moved = hashes[np.reshape(first != other, (len(hashes), -1)).any(axis=1)]
    return [f"pictures with another target: {_counted(moved)}"] if len(moved) else []


def _counted(hashes: NDArray[np.bytes_]) -> str:
    shown = ", ".join(value.decode()[:12] for value in hashes[:SHOWN])
    return f"{len(hashes):,}, such as {shown}"


def _refuse_other_machine(baseline: Receipt, candidate: Receipt) -> None:
    sides = ("the baseline", "the candidate")
    complaints = machine_differences(baseline.environment, candidate.environment, sides)
    if complaints:
        raise ReceiptError(
            f"The receipts come from different machines: {'; '.join(complaints)}. Validate both on the "
            "machine that counts, or ask for it with --across-machines."
        )
