"""What people see: 80 columns, whole paths, and names that cannot drive the terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from edgetl.backbones import BackboneInfo
from edgetl.cli.console import ConsoleWatcher, open_watcher, render_backbones, render_run
from edgetl.events import Epoch, Step
from edgetl.run import Run
from edgetl_runtime.preprocess import Preprocess

EPOCH = Epoch(2, 1.0, 0.51234, 0.61234, 0.91, 0.87654)


def step(name: str, kept: bool = True) -> dict[str, object]:
    return {
        "name": name,
        "parameters": 123_456_789,
        "seconds": 12.6,
        "validation_loss": 0.61234,
        "accuracy": 0.9,
        "balanced_accuracy": 0.87654,
        "kept": kept,
    }


def run(interrupted: bool = False) -> Run:
    figure = {"name": "accuracy", "value": 0.9, "low": 0.81234, "high": 0.95, "n": 1234}
    return Run(
        name="run",
        task="single_label",
        classes=("a", "b"),
        backbone="efficientnet_lite0",
        width=1280,
        preprocess=Preprocess(224, 0.875, "bicubic"),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        temperature=1.0,
        licence="MIT",
        dataset={},
        recipe={},
        steps=(step("head"), step("last 22 stages", kept=False)),
        figures={"accuracy": figure, "expected_calibration_error": figure},
        environment={},
        interrupted=interrupted,
    )


def watched(terminal: bool) -> tuple[ConsoleWatcher, Progress, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=terminal, color_system=None)
    bars = Progress(console=console, transient=True, disable=not terminal)
    return ConsoleWatcher(bars), bars, text


def test_a_run_is_two_tables_and_what_to_type_next() -> None:
    lines = render_run(run(), Path("runs/first")).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Steps, judged on the choosing half of validation:"
    assert lines[1].split() == ["step", "parameters", "s", "loss", "accuracy", "balanced", "kept"]
    assert lines[3].split() == ["last", "22", "stages", "123,456,789", "13", "0.612", "0.900", "0.877", "no"]
    assert "On the verifying half (1,234 pictures that nothing was chosen on):" in lines
    assert "expected calibration error  0.900  0.812 to 0.950" in lines
    assert lines[-1] == "Next: edgetl export runs/first --out runs/first-bundle"


def test_an_interrupted_run_says_so() -> None:
    assert "Interrupted: this is the best so far." in render_run(run(interrupted=True), Path("r"))
    assert "Interrupted" not in render_run(run(), Path("r"))


def test_what_to_type_next_can_be_pasted_whatever_the_name() -> None:
    last = render_run(run(), Path("my runs/it's")).splitlines()[-1]
    assert last == """Next: edgetl export 'my runs/it'"'"'s' --out 'my runs/it'"'"'s-bundle'"""


def test_backbones_are_a_table() -> None:
    infos = [BackboneInfo("efficientnet_lite0", "lite", "Apache-2.0", 0.751, True)]
    infos.append(BackboneInfo("timm/x", "timm", "MIT", None, False))
    header, first, second = render_backbones(infos).splitlines()
    assert header.split() == ["backbone", "ImageNet", "top-1", "installed", "licence"]
    assert first.split() == ["efficientnet_lite0", "0.751", "yes", "Apache-2.0"]
    assert second.split() == ["timm/x", "no", "MIT"]


def test_epochs_and_steps_are_lines() -> None:
    watcher, _, text = watched(terminal=False)
    watcher.phase("last stage, 3 epochs")
    watcher.epoch("last stage", EPOCH, 3)
    watcher.step(Step("last stage", 10, 4.4, 0.6, 0.9, 0.8, True, "loss on validation falls by 0.1"))
    watcher.step(Step("all stages", 10, 4.4, 0.6, 0.9, 0.8, False, "answers get worse"))
    assert text.getvalue().splitlines() == [
        "  epoch 2 of 3: loss 0.512, validation 0.612, balanced accuracy 0.877",
        "last stage: kept, loss on validation falls by 0.1 (4 s)",
        "all stages: not kept, answers get worse (4 s)",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_path_is_not_wrapped(terminal: bool) -> None:
    watcher, _, text = watched(terminal)
    path = "/data/" + "long name/" * 20 + "picture.png"
    watcher.note(f"left out: {path} is empty")
    assert text.getvalue() == f"left out: {path} is empty\n"


def test_names_are_printed_as_they_are_and_cannot_drive_the_terminal() -> None:
    watcher, _, text = watched(terminal=False)
    watcher.note("left out: [red]a[/red] :warning: ü青 \x1b[2J.png")
    assert text.getvalue() == "left out: [red]a[/red] :warning: ü青 \\x1b[2J.png\n"


def test_a_phase_has_one_bar_at_a_time() -> None:
    watcher, bars, _ = watched(terminal=True)
    watcher.progress(1, 2)  # Nothing runs yet.
    watcher.phase("pictures")
    watcher.progress(3, 10)
    watcher.phase("head")
    watcher.progress(1, 4)
    (task,) = bars.tasks
    assert (task.description, task.completed, task.total) == ("head", 1, 4)


def test_every_phase_of_a_training_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    consoles = [Console(file=text, width=80, force_terminal=True, color_system=None)]
    monkeypatch.setattr("edgetl.cli.console.Console", lambda stderr: consoles.pop())
    with open_watcher() as watcher:
        for phase in (
            "features to train on, bf16",
            "features to choose by, f32",
            "last 22 stages, 20 epochs",
        ):
            watcher.phase(phase)
            watcher.progress(1, 100_000)
            watcher._bars.refresh()
    drawn = text.getvalue()
    assert "features to train on, bf16 ━" in drawn
    assert "last 22 stages, 20 epochs ━" in drawn
    assert "…" not in drawn
    assert drawn.count("━" * 20) >= 3


def test_without_a_terminal_there_are_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    with open_watcher() as watcher:
        watcher.phase("pictures")
        watcher.progress(1, 2)
        watcher.note("60 pictures")
    assert capsys.readouterr() == ("", "60 pictures\n")
