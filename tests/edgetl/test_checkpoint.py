"""Checkpoints: found again when they belong to the training, and as if absent when they do not."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgetl.checkpoint import Checkpoint, Slot, checkpoint_folder, forget, pack_optimizer, unpack_optimizer

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7), "c": torch.eye(3).t()[1:]}


def slot(tmp_path: Path) -> Slot:
    return Slot(tmp_path / "aside", "step-1")


def saved(tmp_path: Path) -> Path:
    slot(tmp_path).save(Checkpoint("mine", {"epochs": [{"loss": 0.1}]}, TENSORS))
    return tmp_path / "aside" / "step-1.safetensors"


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 4 * 4, 3))
    return nn.Sequential(*layers).eval().to(memory_format=torch.channels_last)


def take_steps(module: nn.Module, optimizer: torch.optim.Optimizer, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        module(torch.randn(5, 3, 6, 6, generator=generator)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_checkpoint_is_read_back(tmp_path: Path) -> None:
    saved(tmp_path)
    found = slot(tmp_path).load("mine")
    assert found is not None
    assert found.key == "mine"
    assert found.facts == {"epochs": [{"loss": 0.1}]}
    assert found.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_latest_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    saved(tmp_path)
    slot(tmp_path).save(Checkpoint("mine", {"epochs": []}, {"a": torch.ones(1)}))
    found = slot(tmp_path).load("mine")
    assert found is not None
    assert (found.facts, list(found.tensors)) == ({"epochs": []}, ["a"])
    assert [path.name for path in (tmp_path / "aside").iterdir()] == ["step-1.safetensors"]


def test_another_key_finds_nothing(tmp_path: Path) -> None:
    saved(tmp_path)
    assert slot(tmp_path).load("other") is None


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    assert slot(tmp_path).load("mine") is None


@pytest.mark.parametrize("size", [0, 3, 20, 200, -4])
def test_a_torn_file_is_as_good_as_none(size: int, tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    assert slot(tmp_path).load("mine") is None


@pytest.mark.parametrize("metadata", [{"key": "mine"}, {"key": "mine", "facts": "{"}, {}, None])
def test_a_file_without_facts_is_as_good_as_none(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    path = saved(tmp_path)
    save_file({"a": torch.ones(1)}, path, metadata)
    assert slot(tmp_path).load("mine") is None


def test_a_cleared_slot_is_empty(tmp_path: Path) -> None:
    saved(tmp_path)
    slot(tmp_path).clear()
    slot(tmp_path).clear()
    assert slot(tmp_path).load("mine") is None


def test_the_folder_is_a_hidden_sibling_and_is_forgotten_whole(tmp_path: Path) -> None:
    folder = checkpoint_folder(tmp_path / "run")
    assert folder == tmp_path / ".run.training"
    Slot(folder, "step-1").save(Checkpoint("mine", {}, TENSORS))
    (folder / "plan.json").write_text(json.dumps({}))
    forget(tmp_path / "run")
    forget(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_optimizer_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    module = network()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    take_steps(module, optimizer, 3, seed=1)
    tensors = pack_optimizer(optimizer) | {f"m.{name}": t.clone() for name, t in module.state_dict().items()}
    slot(tmp_path).save(Checkpoint("mine", {}, tensors))
    take_steps(module, optimizer, 3, seed=2)

    found = slot(tmp_path).load("mine")
    assert found is not None
    again = network()
    again.load_state_dict({n.removeprefix("m."): t for n, t in found.tensors.items() if n.startswith("m.")})
    resumed = torch.optim.AdamW(again.parameters(), lr=0.01)
    unpack_optimizer(resumed, found.tensors)
    take_steps(again, resumed, 3, seed=2)

    for name, tensor in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    for parameter in again.parameters():
        assert resumed.state[parameter]["step"].item() == 6
        assert resumed.state[parameter]["exp_avg"].stride() == parameter.stride()


def test_an_optimizer_that_took_no_step_has_nothing_to_pack() -> None:
    optimizer = torch.optim.AdamW(network().parameters())
    assert pack_optimizer(optimizer) == {}
    unpack_optimizer(optimizer, {})
    assert not optimizer.state
