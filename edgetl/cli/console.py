"""What people see: progress on stderr while it runs, tables of 80 columns when it is done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from edgetl.events import Epoch, Step, Watcher
from edgetl.tables import table
from edgetl_runtime.cli import harmless

if TYPE_CHECKING:
    from edgetl.backbones import BackboneInfo
    from edgetl.run import Run
    from edgetl_exporters.report import Report, VariantRow


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
        # A name may hold anything, and a path that is wrapped cannot be copied.
        text = Text(harmless(message))
        self._bars.console.print(text, soft_wrap=True)

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        """Move the bar and print the epoch."""
        self.progress(epoch.number, of)
        judged = f"{epoch.validation_loss:.3f}, balanced accuracy {epoch.balanced_accuracy:.3f}"
        self.note(f"  epoch {epoch.number} of {of}: loss {epoch.loss:.3f}, validation {judged}")

    def step(self, step: Step) -> None:
        """Print what became of a step."""
        self.note(f"{step.name}: {'kept' if step.kept else 'not kept'}, {step.reason} ({step.seconds:.0f} s)")


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
            *_render_attempts(run),
            "Steps, judged on the choosing half of validation:",
            table(header, rows),
            f"On the verifying half ({n:,} pictures that nothing was chosen on):",
            table(("figure", "value", "95 % interval"), figures),
            *(["Interrupted: this is the best so far."] if run.interrupted else []),
            f"Next: edgetl export {quote(str(out))} --out {quote(str(out.with_name(out.name + '-bundle')))}",
        ]
    )


def _render_attempts(run: "Run") -> list[str]:
    """Return the table of attempts where there was more than one."""
    attempts = run.search.get("attempts", ())
    if len(attempts) < 2:
        return []
    rows = [
        (
            str(one["backbone"]),
            str(one["weights"]),
            "failed" if one["accuracy"] is None else f"{one['accuracy']:.3f}",
            f"{one['seconds']:.0f}",
            str(one["reason"]),
        )
        for one in attempts
    ]
    return [
        f"Attempts at accuracy {run.recipe['target_accuracy']:g}; the run is of {run.backbone}:",
        table(("backbone", "weights", "accuracy", "s", "why"), rows),
    ]


def render_report(report: "Report", out: Path) -> str:
    """Return the rungs of the int8 ladder, the variants as measured, and what to type next."""
    rungs = [
        (
            f"{row.rung}{' *' if row.verified else ''}",
            f"{100 * row.accuracy.value:.1f}",
            "" if row.balanced_accuracy is None else f"{100 * row.balanced_accuracy:.1f}",
            f"{100 * row.drop:+.1f}",
            f"{100 * row.agreement.low:.1f} to {100 * row.agreement.high:.1f}",
            f"{row.loss:.3f}",
        )
        for row in report.rungs
    ]
    variants = [
        (
            row.name,
            f"{100 * row.accuracy.value:.1f}",
            f"{100 * row.accuracy.low:.1f} to {100 * row.accuracy.high:.1f}",
            f"{100 * row.drop:+.1f}",
            "certified" if row.certified else "undecided" if row.needs is None else f"needs {row.needs:,}",
            "" if row.p50_ms is None else f"{row.p50_ms:.2f}",
            f"{row.size_bytes / 1e6:.1f}",
        )
        for row in report.variants
    ]
    parity = (
        f"Float files and torch differ by {max(report.parity.values()):.1e} in a logit, at most, "
        f"on {report.parity_pictures} pictures."
    )
    limit = f"at most {100 * report.max_drop:g} points of accuracy lost"
    return "\n".join(
        [
            *(_candidates(report.rungs[0].n, rungs) if rungs else ()),
            f"Variants on the {report.variants[0].n:,} verifying pictures, percent; contract: {limit}:",
            table(("variant", "accuracy", "95 % interval", "drop", "contract", "p50 ms", "MB"), variants),
            *(_facts(row) for row in report.variants),
            *(f"Left out: {name}: {reason}" for name, reason in report.left_out.items()),
            parity,
            f"Next: edgetl validate {quote(str(out))} DATA --out receipt.json",
        ]
    )


def _candidates(n: int, rungs: Sequence[Sequence[str]]) -> tuple[str, str]:
    header = ("rung", "accuracy", "balanced", "drop", "agreement", "loss")
    return f"int8 candidates on the {n:,} choosing pictures, percent (* taken):", table(header, rungs)


def _facts(row: "VariantRow") -> str:
    """Return what a variant's line in the table has no room for."""
    parts = [f"{row.name}: {row.changed} of {row.n:,} answers are not those of the float model"]
    if row.calibration_error is not None:
        gap = " → ".join(f"{row.calibration_error[name]:.3f}" for name in ("before", "after"))
        parts.append(f"calibration error {gap}")
    if row.rejecting is not None:
        share = 100 * row.rejecting.answered / row.rejecting.n
        promise = "" if row.rejecting.certified else ", a precision not certified by so few pictures"
        parts.append(f"answers {share:.1f} % at confidence {row.rejecting.below:.3f} and above{promise}")
    if row.core is not None:
        core = row.core
        parts.append(
            f"answers by reference kernels, {core.npu_operators} of {core.operators} operators on the NPU, "
            f"{core.sram_kib:,.0f} KiB of SRAM, estimate {core.cycles_estimate:,} cycles a picture; "
            "not yet run on hardware"
        )
    elif row.p50_ms is None and not row.elsewhere:
        parts.append("measured on its device's simulator: no times, not yet run on hardware")
    if row.elsewhere:
        parts.append("measured on the CPU in place of its device, not yet run on hardware")
    if row.slower_here:
        parts.append("not faster than float on this machine")
    return "; ".join(parts)


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
