"""The history of a training for other tools: a CSV file, and TensorBoard's event files."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from edgetl.events import Epoch, Step

_COLUMNS = tuple(field.name for field in fields(Epoch))


def write_metrics(path: Path, steps: Sequence[Step]) -> None:
    """Write a line for each epoch: the step, its learning rate and whether it was kept, then the epoch."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("step", "learning_rate", "kept", *_COLUMNS))
        for step in steps:
            rate = step.tuned.learning_rate if step.tuned else ""
            for epoch in step.epochs:
                values = (getattr(epoch, name) for name in _COLUMNS)
                writer.writerow((step.name, rate, str(step.kept).lower(), *values))


def write_events(folder: Path, steps: Sequence[Step]) -> bool:
    """Write TensorBoard's files, a curve for each step; returns False where that package is not installed.

    The axis goes on from step to step; the solved head stands at 0.
    """
    if find_spec("tensorboard") is None:
        return False
    from torch.utils.tensorboard import SummaryWriter

    place = 0
    for step in steps:
        with SummaryWriter(str(folder / step.name.replace(" ", "-"))) as writer:
            if not step.epochs:
                _add(writer, place, {"validation_loss": step.validation_loss, "accuracy": step.accuracy})
            for epoch in step.epochs:
                place += 1
                _add(writer, place, {name: getattr(epoch, name) for name in _COLUMNS[2:]})
    return True


def _add(writer: object, place: int, values: dict[str, float]) -> None:
    for name, value in values.items():
        writer.add_scalar(name, value, place)  # type: ignore[attr-defined]
