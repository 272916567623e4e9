"""Tunes a trained network with its rounding to int8 in the forward pass: it learns to answer as in float.

The float network is the teacher: labels play no part, so nothing new is learnt, only how to bear rounding.
Rounding is that of the quantizers: weights symmetric per filter, inputs of layers asymmetric per tensor with
the ranges that the pictures show. Gradients pass through it unchanged (Bengio et al. 2013, arXiv:1308.3432).
A batch norm behind a layer scales whole filters, which a grid per filter does not notice, so it stays.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

_LEVELS = 255  # between the least and the greatest input of a layer


@dataclass(frozen=True, slots=True)
class Tuning:
    """How long and how fast to tune.

    pictures: at most so many. tail: share of the stages that are tuned, the last ones; those before run once,
    rounded too. rate: of Adam, falling to zero as a cosine.
    """

    pictures: int = 600
    epochs: int = 3
    batch: int = 32
    tail: float = 0.5
    rate: float = 1e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Tuned:
    """The tuned network, its weights on their grid.

    before, after: Kullback-Leibler divergence from the teacher in nats, a mean over the first and the last
    epoch of training pictures, rounding included.
    """

    module: nn.Sequential
    before: float
    after: float


def tune_quantized(
    module: nn.Sequential,
    pixels: NDArray[np.uint8],
    normalise: Callable[[NDArray[np.uint8]], Tensor],
    steps: int,
    tuning: Tuning | None = None,
) -> Tuned:
    """Tune a copy of a network, a trunk of stages and a head; its classifier layer stays in float.

    Args:
        pixels: training pictures, (n, size, size, 3) uint8 RGB.
        normalise: what the network takes of them, (n, 3, size, size).
        steps: of a weight's grid, from zero to the largest of its filter.
    """
    tuning = tuning or Tuning()
    generator = np.random.default_rng(tuning.seed)
    chosen = pixels[np.sort(generator.permutation(len(pixels))[: tuning.pictures])]
    copied = copy.deepcopy(module).eval()
    layers = [*copied[0].children(), copied[1]]
    inputs = list(_batches(normalise, chosen, tuning.batch))
    with torch.no_grad():
        ranges, handles = _observe(copied)
        teacher = torch.cat([copied(x) for x in inputs])
        _remove(handles)
        handles = _round(copied, ranges, steps)
        cut = min(len(layers) - 2, round(len(layers) * (1 - tuning.tail)))
        rows = torch.cat([nn.Sequential(*layers[:cut])(x) for x in inputs])
    losses = _train(nn.Sequential(*layers[cut:]), rows, teacher, tuning, generator)
    _remove(handles)
    for layer in _rounded_layers(copied):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return Tuned(copied.requires_grad_(True), losses[0], losses[-1])


def _train(
    tail: nn.Sequential, rows: Tensor, teacher: Tensor, tuning: Tuning, generator: np.random.Generator
) -> list[float]:
    """Tune in place and return the loss before the first step and after each epoch."""
    optimizer = torch.optim.Adam(tail.parameters(), tuning.rate)
    batches = max(1, len(rows) // tuning.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, tuning.epochs * batches)
    losses = [_divergence_of(tail, rows, teacher, tuning.batch)]
    for _ in range(tuning.epochs):
        order = torch.from_numpy(generator.permutation(len(rows)))
        for places in torch.split(order, tuning.batch)[:batches]:
            torch.autograd.backward(_divergence(tail(rows[places]), teacher[places]))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        losses.append(_divergence_of(tail, rows, teacher, tuning.batch))
    return losses


def _divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    return nn.functional.kl_div(
        logits.log_softmax(1), teacher.log_softmax(1), log_target=True, reduction="batchmean"
    )


def _divergence_of(tail: nn.Module, rows: Tensor, teacher: Tensor, batch: int) -> float:
    with torch.no_grad():
        logits = torch.cat([tail(part) for part in torch.split(rows, batch)])
        return float(_divergence(logits, teacher))


def _batches(
    normalise: Callable[[NDArray[np.uint8]], Tensor], pixels: NDArray[np.uint8], batch: int
) -> Iterator[Tensor]:
    for start in range(0, len(pixels), batch):
        yield normalise(pixels[start : start + batch])


def _rounded_layers(module: nn.Sequential) -> Iterator[nn.Module]:
    """Yield the layers that int8 rounds: all with weights but the classifier."""
    for layer in module[0].modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield layer


Ranges = dict[nn.Module, tuple[float, float]]


def _observe(module: nn.Sequential) -> tuple[Ranges, list[RemovableHandle]]:
    """Collect the least and greatest input of every layer that will be rounded; zero is among them."""
    ranges: Ranges = {}

    def look(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        low, high = ranges.get(layer, (0.0, 0.0))
        ranges[layer] = min(low, float(inputs[0].min())), max(high, float(inputs[0].max()))

    return ranges, [layer.register_forward_pre_hook(look) for layer in _rounded_layers(module)]


def _round(module: nn.Sequential, ranges: Ranges, steps: int) -> list[RemovableHandle]:
    """Round weights and inputs of every layer from now on."""
    handles = []
    for layer in list(_rounded_layers(module)):
        parametrize.register_parametrization(layer, "weight", _OnGrid(steps))
        handles.append(layer.register_forward_pre_hook(_rounding(*ranges[layer])))
    return handles


def _rounding(low: float, high: float) -> Callable[[nn.Module, tuple[Any, ...]], Tensor]:
    step = max(high - low, 1e-12) / _LEVELS
    zero = round(-low / step)

    def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
        x: Tensor = inputs[0]
        levels = (x / step).round().add(zero).clamp(0, _LEVELS).sub(zero) * step
        return x + (levels - x).detach()

    return hook


class _OnGrid(nn.Module):
    """Rounds each filter of a weight to its grid, forward only."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, weight: Tensor) -> Tensor:
        """Return the rounded weight, with the gradient of the weight itself."""
        step = weight.detach().abs().flatten(1).amax(1).clamp_min(1e-12) / self.steps
        step = step.reshape(-1, *[1] * (weight.ndim - 1))
        return weight + ((weight / step).round() * step - weight).detach()


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
