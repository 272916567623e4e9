"""Predicted minutes: each approach for the epochs that its training would take."""

import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from edgetl_factories import colour_picture, tiny_backbone

from edgetl.advise import resources
from edgetl.advise.request import Request
from edgetl.advise.resources import Resources, Speeds, measure_speeds, predict_minutes
from edgetl.schedule import derive_epochs
from edgetl_runtime.environment import read_environment
from edgetl_runtime.preprocess import Preprocess

SPEEDS = Speeds(extract=0.0, train={1: 0.1, 4: 0.5}, solve=2e-3)
HEAD = 1_000 * 2 * 2e-3 / 60  # Solving it, where extraction is free.


def test_training_from_scratch_is_predicted_with_its_own_epochs() -> None:
    found = predict_minutes(SPEEDS, 1_000, 100)
    epochs, scratch = derive_epochs(1_000), derive_epochs(1_000, from_scratch=True)
    assert (epochs, scratch) == (8, 60)
    assert found["full"] == pytest.approx(HEAD + 8 * 1_000 * 0.5 / 60)
    assert found["input"] == pytest.approx(HEAD + 2 * 8 * 1_000 * 0.5 / 60)  # The first stages, then all.
    assert found["scratch"] == pytest.approx(HEAD + 60 * 1_000 * 0.5 / 60)
    assert found["staged"] == pytest.approx(HEAD + 8 * 1_000 * (0.1 + 0.5) / 60)
    assert found["first step"] == pytest.approx(HEAD + 3 * 1_000 * 0.1 / 60)


def test_a_trial_takes_the_epochs_that_it_is_given() -> None:
    found = predict_minutes(SPEEDS, 1_000, 100, epochs=2)
    assert found["scratch"] == found["full"] == pytest.approx(HEAD + 2 * 1_000 * 0.5 / 60)


def test_solving_the_head_takes_longer_with_more_classes(tmp_path: Path) -> None:
    picture = colour_picture(tmp_path / "one.png", "red", 0)
    few, many = (measure_speeds(tiny_backbone(), [picture], classes).solve for classes in (3, 300))
    assert many == pytest.approx(100 * few)
    assert few > 0


def test_pictures_are_decoded_on_all_cores_as_a_training_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for another one that is decoded at the same time."""
    both, decode = threading.Barrier(2, timeout=20), Preprocess.__call__
    environment = replace(read_environment(), cores=2)
    monkeypatch.setattr("edgetl.decoded.read_environment", lambda: environment)
    monkeypatch.setattr(Preprocess, "__call__", lambda self, path: (both.wait(), decode(self, path))[1])
    found = measure_speeds(tiny_backbone(), [colour_picture(tmp_path / "one.png", "red", 0)], 3)
    assert 0 < found.extract < 1


def test_memory_is_what_can_be_had_and_all_there_is_where_nobody_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resources, "free_memory", lambda: 7 << 30)
    assert described().memory_bytes == 7 << 30
    monkeypatch.setattr(resources, "free_memory", lambda: None)
    assert described().memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def described() -> Resources:
    return resources.resources(Speeds(0.01, {}, 0.0), 100, 10, Request())


def test_steps_are_timed_on_the_device_that_will_take_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []
    monkeypatch.setattr(resources, "best_device", lambda: "the GPU")
    monkeypatch.setattr(
        resources, "seconds_per_picture", lambda *given, device: devices.append(device) or len(devices)
    )
    found = measure_speeds(tiny_backbone(), [colour_picture(tmp_path / "one.png", "red", 0)], 3)
    assert set(devices) == {"the GPU"}
    assert sorted(found.train.values()) == list(range(1, len(devices) + 1))


def test_a_disk_larger_than_json_can_tell_is_told_as_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**63 - 2**20))
    assert resources.resources(Speeds(0.01, {1: 0.1}, 0.0), 100, 20, Request()).disk_bytes == 2**53
