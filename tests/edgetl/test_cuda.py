"""What a GPU computes is what the processor computes. Skipped where there is none; else all tests use it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgetl_factories import (
    TINY_RECIPE,
    Diary,
    Interrupting,
    Killed,
    colour_folder,
    colour_picture,
    see_numbers,
)
from test_loop import TUNING, step_data
from test_tuner import SETTINGS, difference, losses, tail
from torch import nn

from edgetl import attempt, forward, schedule, steps
from edgetl.advise.request import Request
from edgetl.advise.resources import measure_speeds, resources
from edgetl.autocast import bf16_pays
from edgetl.backbones import Backbone, create_backbone
from edgetl.dataset import Dataset, load_dataset
from edgetl.doctor import examine
from edgetl.features import VIEWS, Activations, Extractor
from edgetl.forward import ForwardName, Precision
from edgetl.run import read_run
from edgetl.tail import run_tail
from edgetl.training import train
from edgetl.tuner import Tuner, Tuning
from edgetl_runtime.pictures import Picture

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
# In f32: a race against the clock would decide between it and bf16.
RECIPE = replace(TINY_RECIPE, precision="f32")


@pytest.fixture(scope="module")
def network() -> Backbone:
    """The default network with random weights, in 64 pixels."""
    torch.manual_seed(0)
    random = create_backbone("efficientnet_lite0", weights="none")
    see_numbers(random.trunk(), torch.randn(16, 3, 64, 64))
    return replace(random, native=replace(random.native, size=64))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(colour_folder(tmp_path_factory.mktemp("pictures"), strength=40))


def pictures(folder: Path) -> list[Picture]:
    """A whole batch and a part of one."""
    return [colour_picture(folder / f"{n}.png", "red", n) for n in range(19)]


def extracted(
    network: Backbone, given: list[Picture], name: ForwardName, precision: Precision
) -> list[np.ndarray[Any, Any]]:
    """Return the features and the activations behind seven stages, of each picture and its mirror image."""
    ask = Extractor(network, network.native.preprocess(), (7,), precision, name)
    found: Activations = ask(given, VIEWS["hflip"])
    return [one.take(np.arange(len(one))) for one in (*found.features, *found.boundaries[7])]


@pytest.mark.parametrize(("precision", "error", "least"), [("f32", 1e-3, 1 - 1e-6), ("bf16", 0.5, 0.95)])
def test_frozen_stages_give_the_rows_of_the_processor(
    network: Backbone, precision: Precision, error: float, least: float, tmp_path: Path
) -> None:
    """With random weights bf16 is as coarse on a processor: 0.17 of the largest number, 0.97 correlated."""
    given = pictures(tmp_path)
    found = extracted(network, given, "torch-cuda", precision)
    for one, other in zip(found, extracted(network, given, "torch-cpu", "f32"), strict=True):
        one, other = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
        assert np.abs(one - other).max() < error * np.abs(other).max()
        assert np.corrcoef(one, other)[0, 1] > least


def test_f32_on_the_gpu_is_not_rounded_to_tf32() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 64, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))
    inputs = torch.randn(32, 64, 16, 16)
    rows = replace(step_data().choose, array=inputs.numpy(), order=np.arange(32))
    with torch.no_grad():
        exact = layers.double()(inputs.double()).numpy()
        rounded = layers.float().cuda()(inputs.cuda()).cpu().numpy()
    assert np.abs(run_tail(layers.cpu(), rows, device="cuda") - exact).max() < 1e-6
    assert np.abs(rounded - exact).max() > 1e-5  # As torch has it by default.


def learnt(device: str, what: str, **more: object) -> tuple[list[float], Tuner]:
    """Take four steps; the last batch is small."""
    data, changes = SETTINGS[what]
    tuner = Tuner(tail(), replace(data, device=device), replace(TUNING, **{**changes, **more}))
    return losses(tuner, len(data.targets), [9, 8, 10, 2]), tuner


@pytest.mark.parametrize("what", SETTINGS)
def test_steps_on_the_gpu_are_those_on_the_processor(what: str) -> None:
    (found, there), (expected, here) = learnt("cuda", what), learnt("cpu", what)
    assert next(there.tail.parameters()).is_cuda
    assert found == pytest.approx(expected, abs=1e-3)
    assert difference(there, here) < 5e-3


def test_a_checkpoint_of_either_goes_on_on_the_other() -> None:
    for begun, other in (("cuda", "cpu"), ("cpu", "cuda")):
        _, tuner = learnt(begun, "mixup and dropout")
        data, changes = SETTINGS["mixup and dropout"]
        moved = Tuner(tail(seed=5), replace(data, device=other), replace(TUNING, **changes))
        moved.restore(tuner.state())
        assert difference(moved, tuner) == 0
        one, two = (each.learn(np.arange(8), np.random.default_rng(7), 0.5, 4) for each in (tuner, moved))
        assert one == pytest.approx(two, abs=1e-3)


def test_bf16_is_tried_on_the_gpu_and_agrees() -> None:
    exact, rounded = (learnt("cuda", "plain", bf16=bf16)[0] for bf16 in (False, True))
    assert rounded == pytest.approx(exact, rel=0.05)
    assert rounded != exact
    _, told = bf16_pays(tail(), replace(step_data(), device="cuda"), Tuning(learning_rate=1e-3, batch_size=8))
    tried, f32 = told.rpartition("loss ")[2].split(" against ")
    assert float(tried) == pytest.approx(float(f32), rel=0.05)


def test_a_training_on_the_gpu_ends_where_one_on_the_processor_does(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "fast_precision", lambda: "f32")
    there = train(dataset, RECIPE, tmp_path / "gpu")
    for module in (steps, schedule, forward):
        monkeypatch.setattr(module, "best_device", lambda: "cpu")
    here = train(dataset, RECIPE, tmp_path / "processor")
    assert [step["name"] for step in there.steps] == [step["name"] for step in here.steps]
    for one, other in zip(there.steps, here.steps, strict=True):
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=0.05), one["name"]


def test_a_training_killed_on_the_gpu_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    whole = train(dataset, RECIPE, tmp_path / "whole")
    name = whole.steps[1]["name"]
    with pytest.raises(Killed):
        train(dataset, RECIPE, tmp_path / "killed", Interrupting(Killed, (name, 1)))
    heard = Diary()
    train(dataset, RECIPE, tmp_path / "killed", heard)
    assert heard.epochs[0] == (name, 2)
    goes_on, expected = (read_run(tmp_path / name).steps for name in ("killed", "whole"))
    for one, other in zip(goes_on, expected, strict=True):
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=0.02)


def test_advice_names_the_gpu(network: Backbone, tmp_path: Path) -> None:
    speeds = measure_speeds(network, pictures(tmp_path), 2)
    assert min(speeds.train.values()) > 0
    assert resources(speeds, 100, 20, Request()).accelerator == torch.cuda.get_device_name()


def test_the_doctor_says_that_torch_extracts_on_the_gpu() -> None:
    (found,) = [one for one in examine().findings if one.name == "feature extraction"]
    assert found.found.startswith("torch on the GPU, in ")
