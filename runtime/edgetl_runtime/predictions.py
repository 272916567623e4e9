"""Predictions in columns, one row per picture: the part of a receipt that the gate compares.

Columns keep a hundred thousand pictures small and quick to read. Knows their JSON form, and no engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.strict_json import JSON, Fields, brief

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.pictures import Task

    Column = NDArray[Any]  # integers, bool or floats, as the field says

__all__ = ["COLUMNS", "MAX_PROBABILITY_CLASSES", "OPTIONAL", "Predictions", "rounded"]

COLUMNS = ("sha256", "target", "predicted", "confidence", "probabilities", "untempered")
OPTIONAL = ("untempered",)
MAX_PROBABILITY_CLASSES = 20
MAX_PICTURES = 5_000_000
MAX_CELLS = 2**30  # pictures × classes of a multi-label receipt

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model answered, picture by picture.

    sha256: of each picture's bytes, 64 hex digits, all different.
    target, predicted: (n,) integers below `classes`, or (n, classes) bool where a picture has several labels.
    confidence: (n,) floats in 0–1.
    probabilities: (n, classes) floats in 0–1, or None where there are more than 20 classes.
    untempered: (n,) floats in 0–1, the confidence without the temperature, of one label a picture; None of
    several, and in receipts from before it was kept.
    """

    classes: int
    sha256: tuple[str, ...]
    target: Column
    predicted: Column
    confidence: Column
    probabilities: Column | None = None
    untempered: Column | None = None

    def __post_init__(self) -> None:
        n = len(self.sha256)
        _require(1 <= n <= MAX_PICTURES, f"sha256 must name 1 to {MAX_PICTURES:,} pictures", n)
        _require_hashes(self.sha256)
        shape, given = self.target.shape, self.predicted.shape
        _require(shape in ((n,), (n, self.classes)), f"target must have {n:,} entries as sha256 has", shape)
        _require(given == shape, f"predicted must have the shape {shape} of target", given)
        _require_labels("target", self.target, self.classes)
        _require_labels("predicted", self.predicted, self.classes)
        _require_shares("confidence", self.confidence, (n,))
        if self.probabilities is not None:
            _require_shares("probabilities", self.probabilities, (n, self.classes))
        if self.untempered is not None:
            _require_shares("untempered", self.untempered, (n,))

    def __len__(self) -> int:
        return len(self.sha256)

    @property
    def task(self) -> Task:
        """Whether a picture has one label or several."""
        return "single_label" if self.target.ndim == 1 else "multi_label"

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each picture's answer is right: (n,) bool; of several labels, all of them."""
        equal = np.reshape(self.target == self.predicted, (len(self), -1))
        right: NDArray[np.bool_] = np.all(equal, axis=1)
        return right

    def to_json(self) -> dict[str, JSON]:
        """Return the columns as lists: labels as class numbers or lists of them, shares to six decimals."""
        shares, untempered = self.probabilities, self.untempered
        return {
            "sha256": list(self.sha256),
            "target": _to_list(self.target),
            "predicted": _to_list(self.predicted),
            "confidence": rounded(self.confidence).tolist(),
            "probabilities": None if shares is None else rounded(shares).tolist(),
            "untempered": None if untempered is None else rounded(untempered).tolist(),
        }

    @classmethod
    def from_json(cls, fields: Fields, task: Task, classes: int) -> Predictions:
        """Read the columns; numpy checks their numbers, far faster than one by one."""
        shares = fields.value("probabilities")
        untempered = fields.value("untempered") if "untempered" in fields else None
        read = _numbers if task == "single_label" else partial(_table, classes)
        return cls(
            classes=classes,
            sha256=fields.texts("sha256"),
            target=read("target", fields.value("target")),
            predicted=read("predicted", fields.value("predicted")),
            confidence=_numbers("confidence", fields.value("confidence")),
            probabilities=None if shares is None else _numbers("probabilities", shares),
            untempered=None if untempered is None else _numbers("untempered", untempered),
        )


def _to_list(column: Column) -> list[JSON]:
    rows: list[JSON] = column.tolist()
    return rows if column.ndim == 1 else [list(np.flatnonzero(row).tolist()) for row in column]


def rounded(shares: Column) -> NDArray[np.float64]:
    """Return shares as a receipt holds them, to six decimals; float32 has no short decimals."""
    return np.asarray(np.round(shares.astype(np.float64), 6), np.float64)


def _numbers(name: str, value: JSON) -> Column:
    """Return a list, or a list of equally long lists, of numbers as an array."""
    try:
        column: Column = np.array(value)
    except ValueError:  # lists of different lengths
        column = np.array(None)
    if not (isinstance(value, list) and (column.dtype.kind in "if" or column.size == 0)):
        raise ReceiptError(f"predictions.{name} must hold numbers only, got {brief(value)}.")
    return column


def _table(classes: int, name: str, value: JSON) -> Column:
    """Return a list with a list of class numbers per picture as bool (n, classes)."""
    rows = [row for row in value if isinstance(row, list)] if isinstance(value, list) else []
    if not rows or rows != value:
        raise ReceiptError(
            f"predictions.{name} must hold a list of class numbers per picture, got {brief(value)}."
        )
    cells = len(rows) * classes
    _require(cells <= MAX_CELLS, f"{name} must have at most {MAX_CELLS:,} cells, pictures x classes", cells)
    table = np.zeros((len(rows), classes), bool)
    numbers = _numbers(name, list(chain.from_iterable(rows)))
    if numbers.size:
        _require_labels(name, numbers, classes)
        table[np.repeat(np.arange(len(rows)), [len(row) for row in rows]), numbers] = True
    twice = numbers.size - int(table.sum())
    _require(not twice, f"{name} must name a class once per picture; repeated labels", twice)
    return table


def _require_labels(name: str, labels: Column, classes: int) -> None:
    if labels.ndim == 2:
        _require(labels.dtype == np.bool_, f"{name} of several labels must be bool", labels.dtype)
        return
    _require(labels.dtype.kind in "iu", f"{name} must hold whole numbers", labels.dtype)
    least, most = int(labels.min()), int(labels.max())
    _require(least >= 0 and most < classes, f"{name} must lie in 0 to {classes - 1}", f"{least} to {most}")


def _require_shares(name: str, shares: Column, shape: tuple[int, ...]) -> None:
    _require(shares.shape == shape, f"{name} must have the shape {shape}", shares.shape)
    least, most = float(shares.min()), float(shares.max())  # NaN, if there is one, and it compares false
    _require(least >= 0 and most <= 1, f"{name} must lie in 0 to 1", f"{least:g} to {most:g}")


def _require_hashes(hashes: tuple[str, ...]) -> None:
    if not all(map(_SHA256.fullmatch, hashes)):
        bad = next(value for value in hashes if not _SHA256.fullmatch(value))
        raise ReceiptError(f"predictions.sha256 must hold 64 small hex digits each, got {brief(bad)}.")
    twice = len(hashes) - len(set(hashes))
    _require(not twice, "sha256 must name every picture once; repeated names", twice)


def _require(good: bool, rule: str, got: object) -> None:
    if not good:
        raise ReceiptError(f"predictions.{rule}, got {got}.")
