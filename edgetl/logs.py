"""The history of a training for other tools: a CSV file, and TensorBoard's event files.

The run gets both whole; beside the checkpoints both grow while the training runs.
"""

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import astuple, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgetl.events import Epoch, Step, Watcher
from edgetl_runtime.atomic import write_text

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
    place = 0
    for step in steps:
        with _event_writer(folder, step.name) as writer:
            if not step.epochs:
                _add(writer, place, {"validation_loss": step.validation_loss, "accuracy": step.accuracy})
            for epoch in step.epochs:
                place += 1
                _add_epoch(writer, place, epoch)
    return True


class GrowingLogs(Watcher):
    """Writes every epoch to a folder as soon as it is done, and passes on all that it hears.

    What is there is gone on with, unless a training begins at its first epoch.
    """

    def __init__(self, watcher: Watcher, folder: Path) -> None:
        self._watcher, self._folder = watcher, folder
        self._before = 0  # The epochs of the steps that are done.
        self._writer: Any = None  # TensorBoard's, of the step at work; its class is not typed.

    def phase(self, name: str) -> None:
        """Pass it on."""
        self._watcher.phase(name)

    def progress(self, done: int, total: int) -> None:
        """Pass it on."""
        self._watcher.progress(done, total)

    def note(self, message: str) -> None:
        """Pass it on."""
        self._watcher.note(message)

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        """Add a line to the CSV file and a point to each of TensorBoard's curves."""
        place = self._before + epoch.number
        if place == 1:
            shutil.rmtree(self._folder, ignore_errors=True)
        _append_epoch(self._folder / "metrics.csv", step, epoch)
        if find_spec("tensorboard") is not None:
            self._writer = self._writer or _event_writer(self._folder / "tensorboard", step, place)
            _add_epoch(self._writer, place, epoch)
            self._writer.flush()
        self._watcher.epoch(step, epoch, of)

    def step(self, step: Step) -> None:
        """Go on to the next curve."""
        self._before += len(step.epochs)
        self.close()
        self._watcher.step(step)

    def close(self) -> None:
        """End the curve that is being written, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _append_epoch(path: Path, step: str, epoch: Epoch) -> None:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    if not path.exists():
        writer.writerow(("step", *_COLUMNS))
    writer.writerow((step, *astuple(epoch)))
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_text(path, before + lines.getvalue())


def _event_writer(folder: Path, step: str, purge_from: int | None = None) -> Any:
    """Open a curve of TensorBoard; its points from this place on, if there are any, are no longer shown."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / step.replace(" ", "-")), purge_step=purge_from)


def _add_epoch(writer: Any, place: int, epoch: Epoch) -> None:
    _add(writer, place, {name: getattr(epoch, name) for name in _COLUMNS[2:]})


def _add(writer: Any, place: int, values: dict[str, float]) -> None:
    for name, value in values.items():
        writer.add_scalar(name, value, place)
