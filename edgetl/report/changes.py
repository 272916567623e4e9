"""Which pictures were answered differently from the baseline: lost, gained, or wrong in another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgetl.report.sources import Measured

Kind = Literal["lost", "gained", "changed"]
KINDS: tuple[Kind, ...] = ("lost", "gained", "changed")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one receipt says of a picture: its one label, or any number of several. confidence: 0–1."""

    name: str
    labels: tuple[str, ...]
    confidence: float
    right: bool

    @property
    def text(self) -> str:
        """The labels in one text."""
        return _joined(self.labels)


@dataclass(frozen=True, slots=True)
class Change:
    """A picture that some receipt answers differently from the baseline, whose answer is the first.

    kind: "lost" where the baseline is right, "gained" where it is wrong and another right, "changed" where
    all are wrong.
    """

    sha256: str
    kind: Kind
    target: str
    answers: tuple[Answer, ...]

    @property
    def first_other(self) -> int:
        """The place of the first answer that is not the baseline's."""
        return next(place for place, one in enumerate(self.answers) if one.labels != self.answers[0].labels)

    def kind_of(self, name: str) -> Kind | None:
        """What became of the picture in one receipt; None where it says what the baseline says."""
        before, other = self.answers[0], next(one for one in self.answers if one.name == name)
        if other.labels == before.labels:
            return None
        if before.right:
            return "lost"
        return "gained" if other.right else "changed"


def find_changes(compared: Sequence[Measured]) -> tuple[Change, ...]:
    """Return the changed pictures: the lost first, each kind from the most confident other answer on.

    Args:
        compared: receipts of the same pictures, classes and task, the baseline first.
    """
    if len(compared) < 2:
        return ()
    sides = [_Side(one) for one in compared]
    differs = np.any([_rows(side.predicted != sides[0].predicted).any(axis=1) for side in sides[1:]], axis=0)
    found = [_change(sides, int(place)) for place in np.flatnonzero(differs)]
    return tuple(sorted(found, key=lambda one: (KINDS.index(one.kind), -_loudest(one), one.sha256)))


class _Side:
    """The columns of a receipt, in the order of the hashes."""

    def __init__(self, measured: Measured) -> None:
        predictions = measured.receipt.predictions
        order = np.argsort(np.array(predictions.sha256, "S64"))
        self.name = measured.name
        self.classes = measured.receipt.classes
        self.sha256 = [predictions.sha256[place] for place in order]
        self.target: NDArray[Any] = predictions.target[order]
        self.predicted: NDArray[Any] = predictions.predicted[order]
        self.confidence = predictions.confidence[order]
        self.right = predictions.right[order]

    def answer(self, place: int) -> Answer:
        labels = _labels(self.classes, self.predicted[place])
        return Answer(self.name, labels, float(self.confidence[place]), bool(self.right[place]))


def _change(sides: Sequence[_Side], place: int) -> Change:
    before, *others = answers = [side.answer(place) for side in sides]
    kind: Kind = "changed"
    if before.right:
        kind = "lost"
    elif any(one.right for one in others):
        kind = "gained"
    target = _joined(_labels(sides[0].classes, sides[0].target[place]))
    return Change(sides[0].sha256[place], kind, target, tuple(answers))


def _loudest(change: Change) -> float:
    before, *others = change.answers
    return max(one.confidence for one in others if one.labels != before.labels)


def _rows(column: NDArray[Any]) -> NDArray[Any]:
    return column.reshape(len(column), -1)


def _labels(classes: tuple[str, ...], answer: Any) -> tuple[str, ...]:  # an integer, or bool (classes,)
    if np.ndim(answer) == 0:
        return (classes[int(answer)],)
    return tuple(classes[k] for k in np.flatnonzero(answer))


def _joined(labels: tuple[str, ...]) -> str:
    return "|".join(labels) or "none"
