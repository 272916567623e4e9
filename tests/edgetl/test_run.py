"""Runs: written and read back whole, and every damage told in words."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgetl.backbones import Backbone, create_backbone, state_id
from edgetl.run import (
    FACTS,
    MODEL,
    PREDICTIONS,
    Run,
    environment_facts,
    read_backbone,
    read_head,
    read_module,
    read_run,
    write_predictions,
    write_run,
)
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture
from edgetl_runtime.preprocess import Preprocess

NAME = "timm/test_efficientnet"


def network(seed: int = 1) -> Backbone:
    return create_backbone(NAME, weights="none", seed=seed)


def facts(width: int) -> Run:
    return Run(
        name="run",
        task="single_label",
        classes=("bad", "good, cheap"),
        backbone=NAME,
        width=width,
        preprocess=Preprocess(48, 0.9, "bicubic"),
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
        temperature=1.25,
        licence="MIT",
        dataset={"path": "/data", "fingerprint": "0" * 64, "counts": {"train": 3}},
        recipe={"size": 48, "unfreeze": None},
        steps=({"name": "head", "kept": True, "epochs": []},),
        figures={"accuracy": {"value": 0.5, "low": 0.1, "high": 0.9, "n": 4}},
        environment=environment_facts(),
        interrupted=True,
    )


def write(folder: Path) -> tuple[Run, Backbone, nn.Linear]:
    """Write a run of random weights."""
    folder.mkdir()
    backbone = network()
    torch.manual_seed(0)
    head = nn.Linear(backbone.width, 2)
    run = facts(backbone.width)
    write_run(folder, run, backbone, head)
    return run, backbone, head


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    found = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    change(found)
    (folder / FACTS).write_text(json.dumps(found), encoding="utf-8")


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run, _, _ = write(tmp_path / "run")
    again = read_run(tmp_path / "run")
    assert replace(again, environment={}) == replace(run, environment={})
    assert again.environment["versions"]["torch"] == torch.__version__
    assert isinstance(again.classes, tuple)


@torch.no_grad()
def test_its_module_is_the_backbone_and_the_head_that_were_written(tmp_path: Path) -> None:
    _, backbone, head = write(tmp_path / "run")
    images = torch.randn(2, 3, 48, 48)
    expected = head(backbone.trunk()(images))
    assert expected.std() > 0
    module = read_module(tmp_path / "run")
    assert torch.equal(module(images), expected)
    assert not module.training
    assert torch.equal(read_head(tmp_path / "run").weight, head.weight)


def test_its_backbone_has_its_own_weights_size_and_licence(tmp_path: Path) -> None:
    _, backbone, _ = write(tmp_path / "run")
    again = read_backbone(tmp_path / "run")
    assert (again.name, again.licence) == (NAME, "MIT")
    assert (again.native.size, again.native.crop) == (48, 0.9)
    assert again.weights_id == state_id(backbone.trunk().state_dict())
    assert again.weights_id != state_id(network(seed=2).trunk().state_dict())


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"flaws": {"left out": ["caf\udce9.jpg"]}}, "must be valid Unicode"),
        ({"bytes": 2**53 + 1}, "must be a whole number within"),
        ({"loss": float("nan")}, "must be a finite number"),
    ],
)
def test_facts_that_would_not_be_read_back_are_not_written(
    dataset: dict[str, Any], message: str, tmp_path: Path
) -> None:
    backbone = network()
    run = replace(facts(backbone.width), dataset=dataset)
    with pytest.raises(ValueError, match=rf"^run\.json\.dataset\..*{message}.* The checkpoints are kept"):
        write_run(tmp_path, run, backbone, nn.Linear(backbone.width, 2))
    assert not (tmp_path / FACTS).exists()


def test_predictions_are_a_line_for_each_picture(tmp_path: Path) -> None:
    pictures = [
        Picture(Path("/a, b.png"), "1" * 64, ("x",)),
        Picture(Path("/c.png"), "2" * 64, ("x", "y")),
        Picture(Path("/d.png"), "3" * 64, ()),
    ]
    write_predictions(tmp_path, pictures, ["x", "y"], np.array([[0.25, 0.75], [1 / 3, 2 / 3], [0, 1]]))
    with (tmp_path / PREDICTIONS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["sha256", "path", "label", "x", "y"],
        ["1" * 64, "/a, b.png", "x", "0.250000", "0.750000"],
        ["2" * 64, "/c.png", "x|y", "0.333333", "0.666667"],
        ["3" * 64, "/d.png", "", "0.000000", "1.000000"],
    ]


def test_a_folder_without_a_run_is_told_how_to_get_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"is no run: .*Make one with: edgetl train DATA --out RUN"):
            read_run(folder)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b"null", b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 100_000, b'{"x": NaN}']
)
def test_facts_that_are_no_facts_are_damage(text: bytes, tmp_path: Path) -> None:
    write(tmp_path / "run")
    (tmp_path / "run" / FACTS).write_bytes(text)
    with pytest.raises(InputError, match=r"^The run '.*run' is damaged: run\.json.*Train again\.$"):
        read_run(tmp_path / "run")


WRONG: list[tuple[str, Any]] = [
    ("name", 7),
    ("task", "detection"),
    ("classes", "bad"),
    ("classes", ["bad", 7]),
    ("backbone", None),
    ("width", "8"),
    ("width", 0),
    ("width", 8.5),
    ("preprocess", {}),
    ("preprocess", [{"op": "fly"}]),
    ("mean", [0.1, 0.2]),
    ("mean", 0.5),
    ("std", [0.1, 0.2, "x"]),
    ("temperature", 0),
    ("temperature", "1"),
    ("licence", ["MIT"]),
    ("dataset", "/data"),
    ("recipe", []),
    ("steps", {}),
    ("steps", ["head"]),
    ("figures", 1),
    ("environment", None),
    ("interrupted", "no"),
    ("format_version", "1"),
    ("format_version", 0),
    ("format_version", None),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_of_another_form_is_damage_and_named(name: str, value: Any, tmp_path: Path) -> None:
    write(tmp_path / "run")
    edit(tmp_path / "run", lambda found: found.update({name: value}))
    with pytest.raises(
        InputError, match=rf"(?s)^The run .* is damaged: .*({name}|Preprocess).* Train again\.$"
    ):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["width", "format_version", "interrupted"])
def test_a_missing_key_is_damage_and_named(name: str, tmp_path: Path) -> None:
    write(tmp_path / "run")
    edit(tmp_path / "run", lambda found: found.pop(name))
    with pytest.raises(InputError, match=rf"is damaged: run\.json lacks '{name}'\. Train again\.$"):
        read_run(tmp_path / "run")


def test_an_unknown_key_is_damage_and_the_known_ones_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "run")
    edit(tmp_path / "run", lambda found: found.update(colour="red"))
    with pytest.raises(
        InputError, match=r"run\.json has unknown keys \['colour'\]; known are 'format_version'"
    ):
        read_run(tmp_path / "run")


def test_a_newer_run_asks_for_an_upgrade_whatever_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "run")
    edit(tmp_path / "run", lambda found: found.update(format_version=2, colour="red"))
    with pytest.raises(InputError, match=r"has format 2; this edgetl reads 1\. Upgrade it\.$"):
        read_run(tmp_path / "run")


def break_model(folder: Path, how: str) -> None:
    path = folder / MODEL
    weights = load_file(path)
    if how == "gone":
        path.unlink()
    elif how == "torn":
        path.write_bytes(path.read_bytes()[:-8])
    elif how == "no tensors":
        path.write_bytes(b"nonsense")
    elif how == "one missing":
        save_file({name: tensor for name, tensor in weights.items() if name != "head.bias"}, path)
    elif how == "another width":
        save_file(weights | {"head.weight": torch.zeros(2, 3)}, path)
    else:
        save_file({f"model.{name}": tensor for name, tensor in weights.items()}, path)


@pytest.mark.parametrize("how", ["gone", "torn", "no tensors", "one missing", "another width", "other names"])
def test_wrong_weights_are_damage(how: str, tmp_path: Path) -> None:
    write(tmp_path / "run")
    break_model(tmp_path / "run", how)
    with pytest.raises(InputError, match=r"(?s)^The run .* is damaged: model\.safetensors .*Train again\.$"):
        read_module(tmp_path / "run")


def test_a_network_that_is_not_known_is_told(tmp_path: Path) -> None:
    write(tmp_path / "run")
    edit(tmp_path / "run", lambda found: found.update(backbone="timm/tset_efficientnet"))
    with pytest.raises(InputError, match=r"No backbone is called 'timm/tset_efficientnet'"):
        read_module(tmp_path / "run")
