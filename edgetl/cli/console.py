"""What people see: progress on stderr while it runs, tables of 80 columns when it is done."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgetl.events import Epoch, Step, Watcher

if TYPE_CHECKING:
    from edgetl.backbones import BackboneInfo
    from edgetl.dataset import Dataset
    from edgetl.run import Run

_WIDTH = 80
_SHOWN = 5


class ConsoleWatcher(Watcher):
    """Shows a bar for the phase that runs and a line for what is done."""

    def __init__(self, progress: Progress) -> None:
        self._bars = progress
        self._bar: TaskID | None = None

    def phase(self, name: str) -> None:
        """Finish the bar before and begin one."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(name, total=None)

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total)

    def note(self, message: str) -> None:
        """Print a line above the bar."""
        self._bars.console.print(message, highlight=False, markup=False)

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        """Move the bar and print the epoch."""
        self.progress(epoch.number, of)
        judged = f"{epoch.validation_loss:.3f}, balanced accuracy {epoch.balanced_accuracy:.3f}"
        self.note(f"  epoch {epoch.number} of {of}: loss {epoch.loss:.3f}, validation {judged}")

    def step(self, step: Step) -> None:
        """Print what became of a step."""
        self.note(f"{step.name}: {'kept' if step.kept else 'not kept'}, {step.reason} ({step.seconds:.0f} s)")

    def dataset(self, dataset: "Dataset") -> None:
        """Print what the pictures are, and what is wrong with them."""
        counts = ", ".join(f"{len(dataset[split]):,} {split}" for split in ("train", "val", "test"))
        self.note(f"{counts} pictures in {len(dataset.classes)} classes")
        for found in dataset.unreadable[:_SHOWN]:
            self.note(f"left out: {found.path} {found.reason}")
        if len(dataset.unreadable) > _SHOWN:
            self.note(f"left out: {len(dataset.unreadable) - _SHOWN:,} more")
        if dataset.leaks:
            splits = " and ".join(sorted({split for leak in dataset.leaks for split in leak.splits}))
            self.note(f"leakage: {len(dataset.leaks):,} pictures lie in several splits ({splits})")
        if dataset.conflicts:
            self.note(f"contradiction: {len(dataset.conflicts):,} pictures have copies with other labels")


@contextmanager
def open_watcher() -> Iterator[ConsoleWatcher]:
    """Yield a watcher that prints to stderr; without a terminal there are lines and no bars."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield ConsoleWatcher(progress)


def render_run(run: "Run", out: Path) -> str:
    """Return the table of steps, the figures of the verifying half, and what to type next."""
    rows = [
        (
            str(step["name"]),
            f"{step['parameters']:,}",
            f"{step['seconds']:.0f}",
            f"{step['validation_loss']:.3f}",
            f"{step['accuracy']:.3f}",
            f"{step['balanced_accuracy']:.3f}",
            "yes" if step["kept"] else "no",
        )
        for step in run.steps
    ]
    header = ("step", "parameters", "s", "loss", "accuracy", "balanced", "kept")
    figures = [
        (name.replace("_", " "), f"{figure['value']:.3f}", f"{figure['low']:.3f} to {figure['high']:.3f}")
        for name, figure in run.figures.items()
    ]
    n = next(iter(run.figures.values()))["n"]
    return "\n".join(
        [
            "Steps, judged on the choosing half of validation:",
            table(header, rows),
            f"On the verifying half ({n:,} pictures that nothing was chosen on):",
            table(("figure", "value", "95 % interval"), figures),
            *(["Interrupted: this is the best so far."] if run.interrupted else []),
            f"Next: edgetl export {out} --out {out.with_name(out.name + '-bundle')}",
        ]
    )


def render_backbones(infos: Sequence["BackboneInfo"]) -> str:
    """Return a table of backbones."""
    rows = [
        (
            info.name,
            "" if info.top1 is None else f"{info.top1:.3f}",
            "yes" if info.installed else "no",
            info.licence,
        )
        for info in infos
    ]
    return table(("backbone", "ImageNet top-1", "installed", "licence"), rows)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as text, its first column flush left, the others flush right."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(header):
        drawn.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*map(str, row))
    text = io.StringIO()
    Console(file=text, width=_WIDTH, markup=False, highlight=False, emoji=False).print(drawn)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
