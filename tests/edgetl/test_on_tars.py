"""Tars are a dataset like folders: the same features, targets, run and figures from the same pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgetl_factories import Diary, colour_folder, tiny_backbone
from runtime_factories import shards_of

import edgetl
from edgetl.dataset import Dataset, load_dataset, write_csv
from edgetl.features import PLAIN, Extractor
from edgetl.pipeline import _dataset
from edgetl.report.album import Album, thumbnail
from edgetl.run import SPLITS, read_run
from edgetl_runtime.member import Member
from edgetl_runtime.pictures import index

SMALL: dict[str, Any] = {"size": 32, "crop": 1.0, "views": "none", "unfreeze": ()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_folder(tmp_path_factory.mktemp("colours"), strength=30)


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shards_of(folder, tmp_path_factory.mktemp("shards"), shards=3)


def features(dataset: Dataset) -> dict[str, tuple[int, bytes]]:
    """What a training learns from, by the hash of the picture."""
    backbone = tiny_backbone()
    rows = Extractor(backbone, backbone.native.preprocess(), (), "f32")(dataset.train, (PLAIN,)).features[0]
    taken = rows.take(np.arange(len(dataset.train)))
    targets = dataset.targets(dataset.train).tolist()
    return {
        one.sha256: (target, row.tobytes())
        for one, target, row in zip(dataset.train, targets, taken, strict=True)
    }


def test_features_and_targets_are_those_of_the_folder(
    folder: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for place in (folder, shards):
        monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / place.name))  # so that each is computed
        found.append(features(load_dataset(place)))
    assert found[0] == found[1]
    assert len(found[0]) == len(load_dataset(folder).train)


def test_a_run_on_tars_finds_its_pictures_again(
    folder: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {"backbone": "timm/test_efficientnet", "weights": "none", **SMALL}
    of_folder = edgetl.finetune(folder, tmp_path / "folder", watcher=Diary(), **recipe)
    of_shards = edgetl.finetune(shards, tmp_path / "shards", watcher=Diary(), **recipe)
    assert of_shards.dataset["fingerprint"] == of_folder.dataset["fingerprint"]
    assert of_shards.figures["accuracy"] == of_folder.figures["accuracy"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = _dataset(read_run(tmp_path / "shards"), tmp_path / "shards", None, Diary())
    assert again.split_fingerprint == load_dataset(shards).split_fingerprint
    assert all(isinstance(one.path, Member) for one in again.train)


def test_a_report_shows_pictures_of_tars(shards: Path) -> None:
    album = Album({one.sha256: one.path for one in index(shards).pictures})
    assert all(thumbnail(path).uri.startswith("data:image/jpeg;base64,") for path in album.paths.values())


def test_a_split_list_names_pictures_as_if_tars_were_folders(shards: Path, tmp_path: Path) -> None:
    dataset = load_dataset(shards)
    write_csv(dataset, tmp_path / SPLITS)
    first = (tmp_path / SPLITS).read_text(encoding="utf-8").splitlines()[1]
    assert first == f"{dataset.train[0].path},{dataset.train[0].labels[0]},train"
    assert ".tar/" in first
