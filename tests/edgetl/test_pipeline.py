"""From a run to a bundle: the run's own pictures, and no others."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgetl import pipeline
from edgetl.backbones import create_backbone
from edgetl.dataset import load_dataset, write_csv
from edgetl.pipeline import export_run
from edgetl.recipe import Recipe
from edgetl.run import SPLITS, Run, environment_facts, write_run
from edgetl_runtime import InputError, Session
from edgetl_runtime.preprocess import Preprocess

BACKBONE = "timm/test_efficientnet"


def write_pictures(root: Path, *, per_split: int = 12) -> Path:
    """Noisy pictures of two colours, split."""
    generator = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for channel, name in enumerate(("green", "red")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(per_split):
                pixels = generator.integers(0, 120, (48, 40, 3), dtype=np.uint8)
                pixels[..., 1 - channel] += 100
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def make_run(folder: Path, data: Path) -> Path:
    """Write a run of a tiny backbone with a head that nobody trained."""
    torch.manual_seed(0)
    dataset, backbone = load_dataset(data), create_backbone(BACKBONE, weights="none")
    counts = {split: len(dataset[split]) for split in ("train", "val", "test")}
    run = Run(
        name="colours",
        task=dataset.task,
        classes=dataset.classes,
        backbone=BACKBONE,
        width=backbone.width,
        preprocess=Preprocess(64, 1.0),
        mean=backbone.native.mean,
        std=backbone.native.std,
        temperature=1.25,
        licence="Apache-2.0",
        dataset={"path": str(data.resolve()), "fingerprint": dataset.fingerprint, "counts": counts},
        recipe=Recipe(backbone=BACKBONE).to_json(),
        steps=(),
        figures={},
        environment=environment_facts(),
    )
    folder.mkdir()
    write_run(folder, run, backbone, nn.Linear(backbone.width, 2))
    write_csv(dataset, folder / SPLITS)
    return folder


def test_a_run_becomes_a_bundle_that_proves_itself_and_tells_its_origin(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data")
    run = make_run(tmp_path / "run", data)
    report = export_run(run, tmp_path / "bundle", data_licence="CC0-1.0", max_drop=1.0)
    assert [row.name for row in report.variants] == [
        "openvino-int8",
        "onnx-int8",
        "openvino-fp16",
        "onnx-fp32",
    ]
    assert all(row.n == 12 for row in report.variants)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for row in report.variants:
        with Session.open(tmp_path / "bundle", variant=row.name) as session:
            assert session.labels == ("green", "red")
            assert session.manifest.provenance["dataset"] == {
                "fingerprint": facts["dataset"]["fingerprint"],
                "counts": {"train": 24, "val": 24, "test": 24},
                "licence": "CC0-1.0",
            }
            assert session.manifest.provenance["backbone"] == BACKBONE
    text = (tmp_path / "bundle" / "manifest.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text


def test_other_pictures_are_refused_and_data_is_named(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data")
    run = make_run(tmp_path / "run", data)
    other = write_pictures(tmp_path / "other", per_split=13)
    with pytest.raises(InputError, match=r"does not hold the pictures .* --data PATH"):
        export_run(run, tmp_path / "bundle", data=other)
    assert not (tmp_path / "bundle").exists()


def test_pictures_that_are_gone_are_reported_and_found_again_by_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", write_pictures(tmp_path / "data"))
    shutil.move(tmp_path / "data", tmp_path / "moved")
    with pytest.raises(InputError, match=r"(?s)pictures of the run 'colours' cannot be used: .* --data PATH"):
        export_run(run, tmp_path / "bundle")
    handed = {}
    monkeypatch.setattr(pipeline, "export", lambda *given, **named: handed.update(data=given[1]) or given[0])
    assert export_run(run, tmp_path / "bundle", data=tmp_path / "moved").temperature == 1.25
    assert [len(getattr(handed["data"], role)) for role in ("train", "choose", "verify")] == [24, 12, 12]


def test_the_run_says_whether_several_labels_are_allowed_when_the_files_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders have one label each, as the recorded splits of older runs may."""
    run = make_run(tmp_path / "run", write_pictures(tmp_path / "data"))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(facts | {"task": "multi_label"}), encoding="utf-8")
    handed = {}
    monkeypatch.setattr(pipeline, "export", lambda *given, **named: handed.update(data=given[1]) or given[0])
    assert export_run(run, tmp_path / "bundle").task == "multi_label"
    assert handed["data"].choose.targets.shape == (12, 2)


def test_an_existing_bundle_is_refused_before_the_run_is_read(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(InputError, match="exists already"):
        export_run(tmp_path / "no run", tmp_path / "bundle")
