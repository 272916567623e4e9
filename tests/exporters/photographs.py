"""Crops of photographs that come with scikit-image, and a small network that was taught to tell them apart.

Its layers are those that make trouble on accelerators: bounded activations and a depthwise convolution.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import nn

from edgetl_exporters.model import ExportData, Labelled, Model
from edgetl_runtime.preprocess import Preprocess

SIZE, CROP = 32, 96
CLASSES = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel", "rocket")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def crops(count: int, seed: int, *, left: bool) -> Labelled:
    """Crops at random places of one half of the photographs, each photograph a class."""
    generator = np.random.default_rng(seed)
    pixels, targets = [], np.arange(count) % len(CLASSES)
    for target in targets:
        photograph = _photograph(CLASSES[target])
        middle = int(0.55 * photograph.width)
        low, high = (0, middle - CROP) if left else (middle, photograph.width - CROP)
        x, y = generator.integers(low, high + 1), generator.integers(0, photograph.height - CROP + 1)
        box = (int(x), int(y), int(x) + CROP, int(y) + CROP)
        pixels.append(np.asarray(photograph.resize((SIZE, SIZE), Image.Resampling.BOX, box)))
    return Labelled(np.stack(pixels), targets.astype(np.int64))


@cache
def photograph_data() -> ExportData:
    """Calibrate on the left halves, choose and verify on the right ones."""
    return ExportData(crops(105, 1, left=True), crops(70, 2, left=False), crops(70, 3, left=False))


@cache
def photograph_model() -> Model:
    """Train for two seconds."""
    torch.manual_seed(0)
    module = nn.Sequential(
        *_layer(3, 12, 3, stride=2, padding=1),
        *_layer(12, 48, 1),
        *_layer(48, 48, 3, stride=2, padding=1, groups=48),
        *_layer(48, 16, 1)[:-1],
        *_layer(16, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, len(CLASSES)),
    )
    return _taught(module)


class Gated(nn.Module):
    """A residual block with squeeze and excitation, as MobileNetV3 and EfficientNet have them."""

    def __init__(self, channels: int, gate: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.expand = nn.Sequential(
            *_layer(channels, channels, 3, padding=1, groups=channels)[:-1], activation
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, channels, 1),
            gate,
        )
        self.project = nn.Sequential(*_layer(channels, channels, 1)[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what passes the gate."""
        wide = self.expand(x)
        out: torch.Tensor = x + self.project(wide * self.squeeze(wide))
        return out


@cache
def gated_model() -> Model:
    """Train for three seconds: every operator that has an integer form, and a linear layer in the middle."""
    torch.manual_seed(0)
    module = nn.Sequential(
        *_layer(3, 16, 3, stride=2, padding=1),
        nn.MaxPool2d(3, 2, 1),
        Gated(16, nn.Hardsigmoid(), nn.Hardswish()),
        Gated(16, nn.Sigmoid(), nn.SiLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 32),
        nn.Hardswish(),
        nn.Linear(32, len(CLASSES)),
    )
    return _taught(module)


class TwoDepths(nn.Module):
    """Features of two stages, pooled and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(*_layer(3, 16, 3, stride=2, padding=1))
        self.second = nn.Sequential(*_layer(16, 32, 3, stride=2, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Join the depths."""
        first = self.first(images)
        depths = (first, self.second(first))
        return torch.cat([x.mean(dim=(2, 3), keepdim=True).flatten(1) for x in depths], dim=1)


@cache
def deep_model() -> Model:
    """Train for a second."""
    torch.manual_seed(0)
    return _taught(nn.Sequential(TwoDepths(), nn.Linear(48, len(CLASSES))))


def _taught(module: nn.Module) -> Model:
    train = crops(252, 0, left=True)
    x, targets = _normalised(train.pixels), torch.from_numpy(train.targets)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(6):
        for batch in torch.randperm(len(x)).split(32):
            loss = nn.functional.cross_entropy(module(x[batch]), targets[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return Model("photographs", module.eval(), "single_label", CLASSES, Preprocess(SIZE), MEAN, STD)


def _layer(inputs: int, outputs: int, side: int, **how: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, side, bias=False, **how), nn.BatchNorm2d(outputs), nn.ReLU6()]


def _normalised(pixels: NDArray[np.uint8]) -> torch.Tensor:
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


@cache
def _photograph(name: str) -> Image.Image:
    return Image.fromarray(getattr(data, name)()).convert("RGB")
