"""How far pictures are from those that a backbone was pretrained on, at every depth of the network.

Each BatchNorm carries the mean and variance that its input had over the pretraining pictures: a reference
that ships with the weights. EfficientNet-Lite's are those of ImageNet. The distance is Fréchet's between
normal distributions with diagonal covariance, Σ (μ − μ')² + (σ − σ')², as a share of the reference's
variance Σ σ'². Few pictures have other statistics than many by chance alone: the floor says by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgetl.backbones import Backbone

_BATCH = 16
_RESAMPLES = 20


@dataclass(frozen=True, slots=True)
class LayerDistance:
    """The distance at one BatchNorm.

    stage: its stage's name. depth: 0 at the input, 1 at the features. distance: as a share of the
    reference's variance, from 0. floor: what resampling the pictures themselves gives.
    """

    stage: str
    depth: float
    distance: float
    floor: float


def reference_distances(
    backbone: Backbone, pixels: NDArray[np.uint8], seed: int = 0
) -> tuple[LayerDistance, ...]:
    """Measure the distance at each BatchNorm from input to output; none where a backbone has none.

    Args:
        pixels: (n, size, size, 3) uint8, preprocessed for the backbone; 64 are enough for the first digit.
    """
    layers = _layers(backbone)
    moments = _moments(backbone, [layer for _, layer in layers], pixels)
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(pixels), size=(_RESAMPLES, len(pixels)))
    found = []
    for number, ((stage, layer), (means, squares)) in enumerate(zip(layers, moments, strict=True)):
        own = _statistics(means, squares)
        reference = _shipped(layer)
        floor = np.mean([frechet(_statistics(means[draw], squares[draw]), own) for draw in draws])
        scale = float(np.square(reference[1]).sum()) or 1.0
        depth = number / max(len(layers) - 1, 1)
        found.append(LayerDistance(stage, depth, frechet(own, reference) / scale, float(floor) / scale))
    return tuple(found)


Moments = tuple[NDArray[Any], NDArray[Any]]


def frechet(one: Moments, other: Moments) -> float:
    """Return the squared Fréchet distance of two diagonal normals, each (means, deviations), (channels,)."""
    return float(np.square(one[0] - other[0]).sum() + np.square(one[1] - other[1]).sum())


def _layers(backbone: Backbone) -> list[tuple[str, nn.BatchNorm2d]]:
    return [
        (stage.name, layer)
        for stage in backbone.stages
        for layer in stage.module.modules()
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None
    ]


def _shipped(layer: nn.BatchNorm2d) -> Moments:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean.double().numpy(), layer.running_var.double().sqrt().numpy()


def _statistics(means: NDArray[Any], squares: NDArray[Any]) -> Moments:
    """Join the moments of pictures, (n, channels) each, to mean and deviation, (channels,)."""
    mean = means.mean(axis=0)
    return mean, np.sqrt(np.maximum(squares.mean(axis=0) - np.square(mean), 0))


def _moments(
    backbone: Backbone, layers: Sequence[nn.BatchNorm2d], pixels: NDArray[np.uint8]
) -> list[Moments]:
    """Return the first two moments of each picture, (n, channels), at the input of each layer."""
    seen: dict[int, list[tuple[Tensor, Tensor]]] = {id(layer): [] for layer in layers}

    def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        seen[id(layer)].append((x.mean(dim=(2, 3)), x.square().mean(dim=(2, 3))))

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (backbone.native.mean, backbone.native.std))
    try:
        with torch.no_grad():
            for start in range(0, len(pixels), _BATCH):
                x = torch.from_numpy(pixels[start : start + _BATCH]).permute(0, 3, 1, 2).float() / 255
                backbone.trunk()((x - mean) / std)
    finally:
        for handle in handles:
            handle.remove()
    return [(_joined(seen[id(layer)], 0), _joined(seen[id(layer)], 1)) for layer in layers]


def _joined(parts: Sequence[tuple[Tensor, Tensor]], which: int) -> NDArray[Any]:
    array: NDArray[Any] = torch.cat([part[which] for part in parts]).numpy()
    return array
