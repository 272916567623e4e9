"""Tuning with rounding: nearer to float than rounding alone, on the grid, and the original untouched."""

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl.quantized import Tuning, tune_quantized


def network() -> nn.Sequential:
    """Three stages and a head, with a batch norm that has seen something."""
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU6()),
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6(), nn.Conv2d(8, 16, 1), nn.ReLU6()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    module = nn.Sequential(trunk, nn.Linear(16, 3))
    with torch.no_grad():
        module[1].weight.mul_(20)
        module.train()(torch.randn(64, 3, 16, 16))
    return module.eval()


def pictures(count: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def normalise(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 128 - 1


def test_the_tuned_network_is_nearer_to_float_than_rounding_alone() -> None:
    tuned = tune_quantized(
        network(), pictures(), normalise, 7, Tuning(epochs=8, batch=16, tail=1.0, rate=1e-3)
    )
    assert tuned.after < 0.7 * tuned.before


@pytest.mark.parametrize("steps", [127, 64])
def test_the_weights_lie_on_their_grid_and_the_classifier_is_free(steps: int) -> None:
    tuned = tune_quantized(network(), pictures(), normalise, steps, Tuning(epochs=1, batch=16))
    for layer in (tuned.module[0][0][0], tuned.module[0][1][2]):
        weight = layer.weight.detach().flatten(1)
        levels = weight / weight.abs().amax(1, keepdim=True) * steps
        assert torch.allclose(levels, levels.round(), atol=1e-3)


def test_the_given_network_is_not_changed() -> None:
    module = network()
    before = copy.deepcopy(module.state_dict())
    tune_quantized(module, pictures(), normalise, 127, Tuning(epochs=1, batch=16))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_equal_calls_give_equal_weights() -> None:
    first, second = (
        tune_quantized(network(), pictures(), normalise, 127, Tuning(epochs=1, batch=16)).module.state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_the_result_is_a_plain_network_that_gives_logits() -> None:
    tuned = tune_quantized(network(), pictures(), normalise, 127, Tuning(epochs=1, batch=16)).module
    assert tuned.state_dict().keys() == network().state_dict().keys()
    assert tuned(normalise(pictures(5))).shape == (5, 3)
