"""Stages compiled by OpenVINO: what is remembered of them belongs to the weights that were converted."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from edgetl_factories import colour_picture, rows
from numpy.typing import NDArray
from torch import nn

from edgetl.backbones import Backbone, Native, Stage, create_backbone, state_id
from edgetl.features import PLAIN, Extractor
from edgetl.forward import on_openvino, open_forward
from edgetl.frozen import FrozenStages
from edgetl.scoring import Score
from edgetl.steps import Best
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture

NATIVE = Native(32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SCORE = Score(0.7, np.array([0.7]), np.array([True]), 1.0, 1.0)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_openvino, "_LAST", {})


def unfolded_backbone() -> Backbone:
    """Make three stages without BatchNorm, so that OpenVINO takes every weight as it lies in memory."""
    torch.manual_seed(0)
    modules = (
        nn.Conv2d(3, 8, 4, stride=4),
        nn.Sequential(nn.Flatten(2), nn.LayerNorm(64), nn.Linear(64, 16), nn.GELU()),
        nn.Sequential(nn.Flatten(), nn.Linear(128, 6)),
    )
    stages = tuple(Stage(f"stage{number}", module) for number, module in enumerate(modules))
    weights = state_id(nn.Sequential(*modules).state_dict())
    return Backbone("unfolded", "lite", stages, 6, NATIVE, "MIT", None, weights)


def install_tuned(backbone: Backbone) -> None:
    """Do what ends a training: put weights that have moved into the backbone's own stages."""
    stages = copy.deepcopy(list(backbone.trunk()))
    with torch.no_grad():
        for stage in stages:
            for parameter in stage.parameters():
                parameter.mul_(1.5).add_(0.1)
    Best(nn.Sequential(*stages, nn.Linear(6, 2)), 0, SCORE).install(backbone)


def of_torch(backbone: Backbone, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        return FrozenStages(backbone, ())(torch.from_numpy(images))[-1].numpy()


def pictures(folder: Path, first: int) -> list[Picture]:
    return [colour_picture(folder / f"{n}.png", "red", n) for n in range(first, first + 3)]


def test_after_a_training_the_next_one_gets_the_features_of_the_pretrained_weights(
    own_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "cache"))
    tuned, pretrained = unfolded_backbone(), unfolded_backbone()
    assert tuned.weights_id == pretrained.weights_id
    preprocess = NATIVE.preprocess()
    Extractor(tuned, preprocess, (1,), "f32", "openvino")(pictures(tmp_path, 0), [PLAIN])
    install_tuned(tuned)
    others = pictures(tmp_path, 3)
    found = rows(Extractor(pretrained, preprocess, (1,), "f32", "openvino")(others, [PLAIN]))[0]
    images = np.stack([preprocess(one.path) for one in others])
    assert np.abs(of_torch(tuned, images) - of_torch(pretrained, images)).max() > 0.1
    assert np.allclose(found, of_torch(pretrained, images), atol=2e-3)


def test_an_operation_that_openvino_lacks_is_an_input_error() -> None:
    """At another size than its own this network resizes its positions in a way that OpenVINO has not."""
    backbone = create_backbone("timm/test_vit", weights="none").with_input(64, None)
    with pytest.raises(InputError, match=r"pictures of 64 × 64 pixels \(.*_upsample_bicubic2d_aa"):
        open_forward("openvino", FrozenStages(backbone, ()).eval(), 64, "f32")


def test_what_is_compiled_stays_as_it_was_when_its_stages_are_tuned() -> None:
    backbone = unfolded_backbone()
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    before = of_torch(backbone, images)
    forward = open_forward("openvino", FrozenStages(backbone, ()).eval(), 32, "f32")
    install_tuned(backbone)
    assert np.allclose(forward.start([images])()[0][-1], before, atol=1e-4)
