"""A tail: the stages behind a boundary and the head, and what it makes of cached activations.

Knows nothing about pictures and optimizers: rows of activations go in, logits and scores come out.
"""

import copy
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgetl.backbones import Backbone
from edgetl.cache import Rows
from edgetl.device import DeviceName, exactly, wait_for
from edgetl.ranks import here
from edgetl.scoring import Score, score
from edgetl.task import TASKS
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Task

# A processor takes a batch picture after picture, so that a small one tells as much.
_TRIAL_BATCH_CPU, _TRIAL_STEPS = 8, 3
# Stages have the names of attributes, some of them "head"; no attribute has this one.
_HEAD = "(head)"


class Diverged(InputError):
    """Numbers that are not finite: in a loss, or in the answers on validation."""


@dataclass(frozen=True, slots=True)
class StepData:
    """What a step learns from and is judged by.

    train: activations at the boundary, for each view. targets: of the training pictures.
    choose: activations of the choosing pictures. choose_targets: theirs. weights: of the classes, (classes,).
    device: where tails learn and are judged.
    """

    train: tuple[Rows, ...]
    targets: NDArray[Any]
    choose: Rows
    choose_targets: NDArray[Any]
    weights: NDArray[np.float32]
    task: Task
    device: DeviceName = "cpu"


def tail_from(backbone: Backbone, cut: int, head: nn.Linear) -> nn.Sequential:
    """Join the stages from number `cut` on and the head; the parameters are shared."""
    return nn.Sequential(OrderedDict([*backbone.suffix(cut).named_children(), (_HEAD, head)]))


def working_copy(tail: nn.Sequential) -> nn.Sequential:
    """Copy a tail in evaluation mode and in the layout that convolutions are fastest in."""
    return copy.deepcopy(tail).eval().to(memory_format=torch.channels_last)


def evaluate(tail: nn.Module, rows: Rows, targets: NDArray[Any], data: StepData) -> Score:
    """Score a tail on pictures with these activations and targets.

    Raises:
        Diverged: a logit is not finite.
    """
    logits = run_tail(tail, rows, device=data.device)
    if not np.isfinite(logits).all():
        raise Diverged("The network gives no finite numbers any more. Lower --learning-rate.")
    return score(logits, targets, TASKS[data.task], data.weights)


def choosing_score(tail: nn.Module, data: StepData) -> Score:
    """Score a tail on the choosing pictures; raises as `evaluate`."""
    return evaluate(tail, data.choose, data.choose_targets, data)


def run_tail(tail: nn.Module, rows: Rows, batch: int = 64, device: DeviceName = "cpu") -> NDArray[np.float32]:
    """Return the logits of all rows, (n, classes), computed in f32; a tail that lies elsewhere is copied."""
    parts = []
    if next(tail.parameters()).device.type != device:
        tail = copy.deepcopy(tail).to(device)
    with torch.no_grad(), exactly(device):
        for start in range(0, len(rows), batch):
            chosen = np.arange(start, min(start + batch, len(rows)))
            parts.append(tail(to_tensor(rows.take(chosen), device)).cpu().numpy())
    return np.concatenate(parts)


def to_tensor(rows: NDArray[Any], device: DeviceName = "cpu") -> Tensor:
    """Turn rows of any float type into float32 on a device, channels last where they are images.

    They travel as they are kept: half the bytes.
    """
    tensor = torch.from_numpy(rows).to(device).float()
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def freeze(tail: nn.Sequential, names: Sequence[str]) -> None:
    """Let the modules of these names keep their parameters."""
    for name, module in tail.named_children():
        module.requires_grad_(name not in names)


def seconds_per_epoch(
    tail: nn.Sequential,
    shape: Sequence[int],
    count: int,
    frozen: Sequence[str] = (),
    device: DeviceName = "cpu",
    batch_size: int = 32,
) -> float:
    """Predict an epoch over `count` pictures. Ranks share a batch; what their messages take is left out."""
    own = max(1, batch_size // here().size)
    return seconds_per_picture(tail, shape, frozen, device, own) * count / here().size


def seconds_per_picture(
    tail: nn.Sequential,
    shape: Sequence[int],
    frozen: Sequence[str] = (),
    device: DeviceName = "cpu",
    batch: int = 32,
) -> float:
    """Time forward and back on a batch of made-up activations of this shape: the fastest of a few steps."""
    trial, batch = working_copy(tail).to(device), min(batch, _TRIAL_BATCH_CPU) if device == "cpu" else batch
    freeze(trial, frozen)
    inputs = to_tensor(np.zeros((batch, *shape), np.float16), device)
    seconds = []
    for _ in range(_TRIAL_STEPS):  # The first allocates, and any may meet another job's burst.
        begun = time.monotonic()
        torch.autograd.backward(trial(inputs).square().mean())
        wait_for(device)
        seconds.append(time.monotonic() - begun)
    return min(seconds) / batch
