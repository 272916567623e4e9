"""The history for other tools: lines that a spreadsheet reads, and what TensorBoard shows."""

import csv
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgetl import logs
from edgetl.events import Epoch, Step, Tuned
from edgetl.logs import write_events, write_metrics

HEAD = Step("head", 10, 1.0, 0.9, 0.6, 0.5, True, "solved with C = 0.01")


def step(name: str, losses: list[float], kept: bool) -> Step:
    epochs = tuple(Epoch(n, 1.0, loss + 1, loss, 0.8, 0.7) for n, loss in enumerate(losses, start=1))
    tuned = Tuned(0.002, (), False, 1.0, "", (len(losses), 5))
    return Step(name, 100, 3.0, losses[-1], 0.8, 0.7, kept, "loss falls", epochs, tuned)


STEPS = [HEAD, step("last stage", [0.8, 0.7], True), step("all stages", [0.75], False)]


def test_every_epoch_is_a_line_with_its_step(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", STEPS)
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["step"], line["number"], line["validation_loss"]) for line in lines] == [
        ("last stage", "1", "0.8"),
        ("last stage", "2", "0.7"),
        ("all stages", "1", "0.75"),
    ]
    assert [line["kept"] for line in lines] == ["true", "true", "false"]
    assert {line["learning_rate"] for line in lines} == {"0.002"}


def test_tensorboard_shows_a_curve_for_each_step_one_after_another(tmp_path: Path) -> None:
    assert write_events(tmp_path, STEPS)
    found = {}
    for folder in tmp_path.iterdir():
        events = EventAccumulator(str(folder)).Reload()
        found[folder.name] = [(e.step, round(e.value, 4)) for e in events.Scalars("validation_loss")]
    assert found == {"head": [(0, 0.9)], "last-stage": [(1, 0.8), (2, 0.7)], "all-stages": [(3, 0.75)]}


def test_without_tensorboard_nothing_is_written_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    assert not write_events(tmp_path, STEPS)
    assert list(tmp_path.iterdir()) == []
