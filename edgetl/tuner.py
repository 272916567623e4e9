"""A tail while it is trained: its weights, their moving average, the optimizer, and one step of it.

BatchNorm stays in evaluation mode, so its buffers never move; its scale and shift are trained like any
weight. Only a network that starts from random weights lets its statistics move.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgetl.cache import Rows
from edgetl.tail import StepData, freeze, to_tensor, working_copy
from edgetl.task import TASKS, TaskRules


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a tail is trained; the fields mean what those of `Recipe` mean, and nothing is left to derive.

    frozen: names of the tail's modules that keep their weights. bf16: multiply in bfloat16.
    moving_statistics: BatchNorm in training mode, for random weights.
    """

    learning_rate: float
    batch_size: int = 32
    decay: float = 2.6
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    mixup: float = 0.0
    l2_sp: float = 0.0
    dropout: float = 0.0
    warmup: float = 0.1
    ema: float = 0.98
    patience: int = 0
    seed: int = 0
    frozen: tuple[str, ...] = ()
    bf16: bool = False
    moving_statistics: bool = False


class Tuner:
    """A tail that is being trained: its weights, their moving average, and the optimizer."""

    def __init__(self, tail: nn.Sequential, data: StepData, tuning: Tuning) -> None:
        self.tail = working_copy(tail)
        freeze(self.tail, tuning.frozen)
        self.average = working_copy(self.tail)
        for module in self.tail.modules():
            if tuning.moving_statistics and isinstance(module, _BatchNorm):
                module.train()
        self.optimizer = torch.optim.AdamW(parameter_groups(self.tail, tuning))
        self._start = [parameter.detach().clone() for parameter in self._trained()]
        self._data, self._tuning, self._rules = data, tuning, TASKS[data.task]
        self._weights = torch.from_numpy(data.weights)

    def learn(
        self, chosen: NDArray[np.int64], generator: np.random.Generator, factor: float, step: int
    ) -> float:
        """Take one optimizer step on the chosen pictures and return their loss.

        A loss that is no number changes nothing.

        factor: of the learning rate. step: how many came before, which the average's warm-up asks for.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        inputs = pick_views(self._data.train, chosen, generator)
        targets = torch.from_numpy(self._data.targets[chosen])
        with _autocast(self._tuning.bf16):
            loss = self._loss(inputs, targets, generator)
        value = float(loss.item())
        if not math.isfinite(value):
            return value
        torch.autograd.backward(loss)
        self._pull_to_start()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._follow(min(self._tuning.ema, (1 + step) / (10 + step)))
        return value

    def _loss(self, inputs: Tensor, targets: Tensor, generator: np.random.Generator) -> Tensor:
        """Return the loss of a batch, mixed with itself in another order where the recipe says so.

        Mixing is Zhang et al. 2018; on activations it is Verma et al. 2019.
        """
        if not self._tuning.mixup:
            return self._plain_loss(self._logits(inputs, generator), targets)
        share = float(generator.beta(self._tuning.mixup, self._tuning.mixup))
        other = torch.from_numpy(generator.permutation(len(inputs)))
        logits = self._logits(share * inputs + (1 - share) * inputs[other], generator)
        return share * self._plain_loss(logits, targets) + (1 - share) * self._plain_loss(
            logits, targets[other]
        )

    def _plain_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        rules: TaskRules = self._rules
        return rules.loss(logits.float(), targets, self._weights, self._tuning.label_smoothing)

    def _logits(self, inputs: Tensor, generator: np.random.Generator) -> Tensor:
        """Run the tail, with dropout before the head."""
        if not self._tuning.dropout:
            return torch.as_tensor(self.tail(inputs))
        features = self.tail[:-1](inputs)
        kept = generator.random(tuple(features.shape)) >= self._tuning.dropout
        mask = torch.from_numpy((kept / (1 - self._tuning.dropout)).astype(np.float32))
        return torch.as_tensor(self.tail[-1](features * mask))

    def _pull_to_start(self) -> None:
        """Add the gradient of l2_sp / 2 · |w - w₀|² (L2-SP, Li et al. 2018)."""
        if not self._tuning.l2_sp:
            return
        for parameter, start in zip(self._trained(), self._start, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - start, alpha=self._tuning.l2_sp)

    def _follow(self, decay: float) -> None:
        """Move the average toward the weights, and its statistics where they move."""
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), self.tail.parameters(), strict=True):
                mean.lerp_(new, 1 - decay)
            if self._tuning.moving_statistics:
                for old, now in zip(self.average.buffers(), self.tail.buffers(), strict=True):
                    old.lerp_(now, 1 - decay) if old.is_floating_point() else old.copy_(now)

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.tail.parameters() if parameter.requires_grad]


def parameter_groups(tail: nn.Sequential, tuning: Tuning) -> list[dict[str, Any]]:
    """Group what is trained by stage: the rate decays toward the input, vectors (norms, biases) do not decay.

    The head and the last trained stage share the full rate.
    """
    groups = []
    modules = list(tail)
    last = max([n for n, one in enumerate(modules[:-1]) if not _frozen(one)], default=len(modules) - 2)
    for number, module in enumerate(modules):
        rate = tuning.learning_rate / tuning.decay ** max(0, last - number)
        for is_matrix, decay in ((True, tuning.weight_decay), (False, 0.0)):
            chosen = [p for p in module.parameters() if p.requires_grad and (p.ndim > 1) == is_matrix]
            if chosen:
                groups.append({"params": chosen, "lr": rate, "full_lr": rate, "weight_decay": decay})
    return groups


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the share of the full rate at a step: linear warm-up, then a cosine to zero."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))


def pick_views(views: Sequence[Rows], chosen: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
    """Draw a view for each of the chosen pictures and return its activations."""
    picks = generator.integers(len(views), size=len(chosen))
    return to_tensor(np.stack([views[v].take(chosen[i : i + 1])[0] for i, v in enumerate(picks)]))


def _frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _autocast(bf16: bool) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else nullcontext()
