"""The pictures of an export: few enough, the same each time, and whoever was left out is counted aloud."""

from pathlib import Path

import numpy as np
import pytest
from edgetl_factories import COLOURS, colour_picture

from edgetl import decoded as decoding
from edgetl import export_data as module
from edgetl.dataset import Dataset, load_dataset
from edgetl.decoded import decoded
from edgetl.events import Watcher
from edgetl.export_data import export_data, labelled_pictures
from edgetl.extraction import activations_folder
from edgetl_exporters.model import ExportData
from edgetl_runtime.preprocess import Preprocess

PREPROCESS = Preprocess(32)


class Notes(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def skewed(root: Path) -> Dataset:
    """Three colours, the first of them three times as often as the others."""
    for split, counts in {"train": (18, 6, 6), "val": (36, 12, 12), "test": (1, 1, 1)}.items():
        for (colour, place), count in zip(COLOURS.items(), counts, strict=True):
            for number in range(count):
                seed = 1000 * len(split) + 10 * number + place
                colour_picture(root / split / colour / f"{number}.png", colour, seed)
    return load_dataset(root)


def counts(data: ExportData) -> list[list[int]]:
    return [np.bincount(role.targets).tolist() for role in (data.train, data.choose, data.verify)]


def exported(dataset: Dataset, watcher: Watcher) -> ExportData:
    return export_data(dataset, PREPROCESS, dataset.targets, watcher)


def test_few_pictures_are_all_used_and_nothing_is_said(tmp_path: Path) -> None:
    watcher, dataset = Notes(), skewed(tmp_path)
    data = exported(dataset, watcher)
    assert counts(data) == [[6, 6, 18], [6, 6, 18], [6, 6, 18]]
    assert watcher.notes == []
    places = [picture.sha256 for picture in dataset.train]
    assert data.train.sha256 == tuple(places)
    assert np.array_equal(data.train.pixels[3], PREPROCESS(dataset.train[3].path))


def test_of_many_pictures_training_takes_all_classes_alike_and_the_judges_keep_their_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PICTURES", 15)
    watcher, dataset = Notes(), skewed(tmp_path)
    assert counts(exported(dataset, watcher)) == [[5, 5, 5], [3, 3, 9], [3, 3, 9]]
    assert watcher.notes == [
        "15 of 30 training pictures calibrate and solve the head.",
        "15 of 30 validation pictures choose.",
        "15 of 30 validation pictures verify.",
    ]


def test_memory_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 20 * 32 * 32 * 3)
    data = exported(skewed(tmp_path), Notes())
    assert [len(role) for role in (data.train, data.choose, data.verify)] == [20, 20, 20]


def test_the_choice_is_the_same_wherever_the_pictures_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PICTURES", 9)
    first, second = (exported(skewed(tmp_path / name), Notes()) for name in ("here", "there"))
    for one, other in ((first.train, second.train), (first.choose, second.choose)):
        assert one.sha256 == other.sha256


def test_pixels_that_training_kept_are_not_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = skewed(tmp_path)
    monkeypatch.setattr(decoding, "_DEAR_S", 0.0)
    for _ in decoded(activations_folder(), PREPROCESS, dataset.train, room=10**6):
        pass
    expected = [PREPROCESS(picture.path) for picture in dataset.train]
    monkeypatch.setattr(Preprocess, "__call__", _refuse)
    found = labelled_pictures(PREPROCESS, dataset.train, dataset.targets(dataset.train))
    assert np.array_equal(found.pixels, expected)


def test_a_picture_that_is_there_twice_is_given_twice(tmp_path: Path) -> None:
    dataset = skewed(tmp_path)
    twice = (*dataset.train[:2], dataset.train[0])
    found = labelled_pictures(PREPROCESS, twice, dataset.targets(twice))
    assert np.array_equal(found.pixels, [PREPROCESS(picture.path) for picture in twice])


def _refuse(preprocess: Preprocess, source: object) -> None:
    raise AssertionError("decoded again")
