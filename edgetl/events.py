"""What a long job tells whoever watches it; the default watcher ignores everything."""

from dataclasses import dataclass


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
class Step:
    """One step of the fine-tuning and what became of it.

    name: "head", "last 2 stages", "all stages". parameters: how many were trained. score: the choosing half's
    figures after it. kept: whether it replaced the best so far, and `reason` why.
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
