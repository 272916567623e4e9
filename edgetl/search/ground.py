"""What all trials of a process share: the pictures, what is asked for, where files lie, and until when."""

import time
from dataclasses import dataclass
from pathlib import Path

from edgetl.dataset import Dataset
from edgetl.events import Watcher
from edgetl.search.asked import Asked
from edgetl.search.trials import trial_folder


@dataclass(frozen=True, slots=True)
class Ground:
    """What all trials of a process share.

    out: the study's folder. source: where the pictures were read. deadline: on the clock of `time.monotonic`.
    """

    dataset: Dataset
    asked: Asked
    out: Path
    source: Path
    watcher: Watcher
    deadline: float

    def folder(self, number: int) -> Path:
        """Return where the files of a trial lie."""
        return trial_folder(self.out, number)

    def seconds_left(self) -> float:
        """Return what is left of the time budget."""
        return self.deadline - time.monotonic()
