"""A tiny trained network and its pictures: colours by name, learned in a second, so that answers count."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl_exporters.model import ExportData, Labelled, Model, Watcher
from edgetl_runtime.preprocess import Preprocess

SIZE = 32
CLASSES = ("red", "green", "blue")
GATED_WIDTH = 64
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


class Quiet(Watcher):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def progress(self, done: int, total: int) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


class Gated(nn.Module):
    """A convolution whose channels are gated by squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, GATED_WIDTH, 3, stride=2)
        self.squeeze, self.excite = nn.Conv2d(GATED_WIDTH, 16, 1), nn.Conv2d(16, GATED_WIDTH, 1)
        self.head = nn.Linear(GATED_WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        scores: torch.Tensor = self.head(x.mean((2, 3)))
        return scores


class Tokens(nn.Module):
    """Patches beside a class token, which is there as often as there are pictures."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.mixing, self.head = nn.Linear(17, 17), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1)
        scores: torch.Tensor = self.head(self.mixing(tokens.transpose(1, 2)).relu()[:, :, 0])
        return scores


def colours(count: int, seed: int) -> Labelled:
    """Noisy pictures in which one colour is a little stronger than the others."""
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % len(CLASSES)
    pixels = generator.integers(20, 160, (count, SIZE, SIZE, 3))
    pixels[np.arange(count), :, :, targets] += generator.integers(20, 80, count)[:, None, None]
    return Labelled(pixels.astype(np.uint8), targets.astype(np.int64))


def tiny_data() -> ExportData:
    """Pictures of the three roles."""
    return ExportData(colours(60, 1), colours(45, 2), colours(45, 3))


def tiny_model(**changes: Any) -> Model:
    """A network that tells the colours apart."""
    model = Model("colours", _trained(), "single_label", CLASSES, Preprocess(SIZE), MEAN, STD, 1.5)
    return replace(model, **changes)


def solve_head(
    train: NDArray[Any], train_targets: NDArray[Any], choose: NDArray[Any], choose_targets: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ridge regression on the targets."""
    wanted = train_targets if train_targets.ndim == 2 else np.eye(len(CLASSES))[train_targets]
    wide = np.hstack([train, np.ones((len(train), 1))])
    solved = np.linalg.solve(wide.T @ wide + 1e-3 * np.eye(wide.shape[1]), wide.T @ (6 * wanted - 3))
    return solved[:-1].T.astype(np.float32), solved[-1].astype(np.float32)


def fit_temperature(logits: NDArray[Any], targets: NDArray[Any]) -> float:
    """A number that depends on the logits."""
    return float(1 + logits.std())


@cache
def _trained() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU6(),
        nn.Conv2d(8, 16, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, len(CLASSES)),
    )
    data = colours(240, 0)
    x = (torch.from_numpy(data.pixels).permute(0, 3, 1, 2).float() / 255 - _planes(MEAN)) / _planes(STD)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(40):
        loss = nn.functional.cross_entropy(module(x), torch.from_numpy(data.targets))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return module.eval()


def _planes(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 3, 1, 1)
