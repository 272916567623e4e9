"""The history for other tools: lines that a spreadsheet reads, and what TensorBoard shows."""

import csv
from pathlib import Path

import pytest
from edgetl_factories import Diary
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgetl import logs
from edgetl.events import Epoch, Step, Tuned, Watcher
from edgetl.logs import GrowingLogs, write_events, write_metrics

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
    shown = {"head": [(0, 0.9)], "last-stage": [(1, 0.8), (2, 0.7)], "all-stages": [(3, 0.75)]}
    assert scalars(tmp_path) == shown


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what TensorBoard shows of the validation loss, by step."""
    events = {one.name: EventAccumulator(str(one)).Reload() for one in folder.iterdir()}
    return {
        name: [(e.step, round(e.value, 4)) for e in found.Scalars("validation_loss")]
        for name, found in events.items()
    }


def tell(logs: GrowingLogs, one: Step, of: int = 5) -> None:
    for epoch in one.epochs:
        logs.epoch(one.name, epoch, of)
    logs.step(one)


def test_both_grow_with_every_epoch(tmp_path: Path) -> None:
    diary = Diary()
    logs = GrowingLogs(diary, tmp_path / "logs")
    logs.step(HEAD)
    for number, epoch in enumerate(STEPS[1].epochs, start=1):
        logs.epoch("last stage", epoch, 5)
        assert len((tmp_path / "logs" / "metrics.csv").read_text().splitlines()) == 1 + number
        shown = scalars(tmp_path / "logs" / "tensorboard")["last-stage"]
        assert shown == [(1, 0.8), (2, 0.7)][:number]
    logs.step(STEPS[1])
    tell(logs, STEPS[2])
    lines = (tmp_path / "logs" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "step,number,seconds,loss,validation_loss,accuracy,balanced_accuracy"
    assert lines[1:] == [
        "last stage,1,1.0,1.8,0.8,0.8,0.7",
        "last stage,2,1.0,1.7,0.7,0.8,0.7",
        "all stages,1,1.0,1.75,0.75,0.8,0.7",
    ]
    assert scalars(tmp_path / "logs" / "tensorboard")["all-stages"] == [(3, 0.75)]
    assert (diary.epochs, diary.steps) == ([("last stage", 1), ("last stage", 2), ("all stages", 1)], STEPS)


def test_they_go_on_after_a_kill_and_begin_anew_with_another_training(tmp_path: Path) -> None:
    first, second = STEPS[1].epochs
    killed = GrowingLogs(Watcher(), tmp_path / "logs")
    killed.epoch("last stage", first, 5)
    killed.close()
    resumed = GrowingLogs(Watcher(), tmp_path / "logs")
    resumed.epoch("last stage", second, 5)
    resumed.close()
    assert scalars(tmp_path / "logs" / "tensorboard") == {"last-stage": [(1, 0.8), (2, 0.7)]}
    assert len((tmp_path / "logs" / "metrics.csv").read_text().splitlines()) == 3
    tell(GrowingLogs(Watcher(), tmp_path / "logs"), STEPS[2])
    assert scalars(tmp_path / "logs" / "tensorboard") == {"all-stages": [(1, 0.75)]}
    assert len((tmp_path / "logs" / "metrics.csv").read_text().splitlines()) == 2


def test_without_tensorboard_nothing_is_written_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    assert not write_events(tmp_path, STEPS)
    assert list(tmp_path.iterdir()) == []
    tell(GrowingLogs(Watcher(), tmp_path / "logs"), STEPS[1])
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["metrics.csv"]
