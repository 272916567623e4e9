"""Random features are a fair rival: they come from all depths, and know what is simple."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from edgetl_factories import tiny_backbone
from numpy.typing import NDArray

from edgetl.advise import random_features
from edgetl.advise.random_features import random_backbone
from edgetl.advise.sample import Features
from edgetl.advise.similarity import similarity
from edgetl.backbones import Backbone, Stage, create_backbone

SIDE, EACH = 64, 12


def casts() -> NDArray[np.uint8]:
    """Make noise with one of four casts of colour, in turns."""
    rng = np.random.default_rng(0)
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])[np.arange(4 * EACH) % 4]
    noise = rng.integers(0, 200, (4 * EACH, SIDE, SIDE, 3))
    strength = rng.integers(10, 40, (4 * EACH, 1, 1, 1))
    return (noise + strength * colours[:, None, None]).astype(np.uint8)


def features(backbone: Backbone, pixels: NDArray[np.uint8]) -> Features:
    with torch.no_grad():
        found = backbone.trunk()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1)
    return Features(found.numpy(), np.eye(4)[np.arange(len(pixels)) % 4], several=False)


def test_random_weights_are_fitted_to_the_pictures_and_drawn_from_the_seed() -> None:
    backbone, pixels = create_backbone("efficientnet_lite0"), casts()
    one, same, other = (random_backbone(backbone, pixels, seed) for seed in (0, 0, 1))
    assert one.weights_id == same.weights_id != other.weights_id
    assert one.weights_id != backbone.weights_id
    assert one.native == backbone.native
    assert not any(module.training for stage in one.stages for module in stage.module.modules())


def test_every_depth_counts_alike() -> None:
    backbone, pixels = create_backbone("efficientnet_lite0"), casts()
    drawn = random_backbone(backbone, pixels)
    values = features(drawn, pixels).values
    assert values.shape == (len(pixels), drawn.width)
    widths = [16, 24, 40, 80, 112, 192, 320, 1280]
    assert drawn.width >= sum(widths)
    assert np.isclose(values[:, -1280:].var(axis=0).sum(), 1, atol=0.05)
    assert np.isclose(values.var(axis=0).sum(), len(backbone.stages), atol=0.2)


def test_a_network_of_one_piece_has_one_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_backbone()
    piece = replace(whole, stages=(Stage("all", whole.trunk()),))
    monkeypatch.setattr(random_features, "create_backbone", lambda name, **_: piece)
    drawn = random_backbone(piece, casts())
    assert drawn.width == piece.width
    assert features(drawn, casts()).values.shape == (4 * EACH, piece.width)


def test_where_the_classes_are_casts_of_colour_pretraining_is_said_not_to_help() -> None:
    backbone, pixels = create_backbone("efficientnet_lite0"), casts()
    random = features(random_backbone(backbone, pixels), pixels)
    near = similarity(features(backbone, pixels), random, ())
    assert near.ridge.random > 0.8
    assert near.ridge.high < 0
