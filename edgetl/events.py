"""What a long job tells whoever watches it; the default watcher ignores everything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass of a step over the training pictures.

    number: from 1. loss: mean training loss. validation_loss: the score's, in nats. accuracy,
    balanced_accuracy: on the choosing half of validation, 0–1.
    """

    number: int
    seconds: float
    loss: float
    validation_loss: float
    accuracy: float
    balanced_accuracy: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """How a step's stages were tuned.

    learning_rate: of the head and the last trained stage. race: for each rate that ran for it, its validation
    loss after each lap, in nats, None where it diverged. bf16: whether training multiplied in bfloat16.
    share: how far from the weights before the step to those after it the result lies, in (0, 1].
    stopped: why the step ended early, or the empty text. planned: the epochs it got, and those it would have
    got with more time.
    """

    learning_rate: float
    race: tuple[tuple[float, tuple[float | None, ...]], ...]
    bf16: bool
    share: float
    stopped: str
    planned: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the fine-tuning and what became of it.

    name: "head", "last 2 stages", "all stages". parameters: how many were trained. score: the choosing half's
    figures after it. kept: whether it replaced the best so far, and `reason` why. tuned: None for the head.
    gap: between training and validation pictures, see `edgetl.gap`; empty for a step that gave no numbers.
    """

    name: str
    parameters: int
    seconds: float
    validation_loss: float
    accuracy: float
    balanced_accuracy: float
    kept: bool
    reason: str
    epochs: tuple[Epoch, ...] = ()
    tuned: Tuned | None = None
    gap: Mapping[str, Any] = field(default_factory=dict)


class Watcher:
    """Hears of phases, progress, epochs and steps. This one does nothing; a command line prints."""

    def phase(self, name: str) -> None:
        """A phase begins."""

    def progress(self, done: int, total: int) -> None:
        """So much of the phase is done."""

    def note(self, message: str) -> None:
        """Something worth a line."""

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        """An epoch of a step is done."""

    def step(self, step: Step) -> None:
        """A step is done."""
