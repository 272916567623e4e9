"""A tail while it is trained: its weights, their moving average, the optimizer, and one step of it.

Where several ranks train, each has all of this and takes its share of every batch: gradients are added up, so
the step is the one that a single process takes, and every rank takes it.

BatchNorm stays in evaluation mode, so its buffers never move; its scale and shift are trained like any
weight. Only a network that starts from random weights lets its statistics move.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgetl.cache import Rows
from edgetl.checkpoint import State, pack_optimizer, under, unpack_optimizer
from edgetl.device import DeviceName
from edgetl.ranks import here, share
from edgetl.synced import SyncedStatistics
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
    decay: float = 1.2
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
    """A tail that is being trained: its weights, their moving average, and the optimizer.

    All of it is on the device of the data, and on every rank.
    """

    def __init__(self, tail: nn.Sequential, data: StepData, tuning: Tuning) -> None:
        self._ranks = here()
        self._everywhere = self._ranks.everywhere(copy_of, lambda: (tail, data, tuning, self.state()))
        self.tail = working_copy(tail).to(data.device)
        freeze(self.tail, tuning.frozen)
        self.average = working_copy(self.tail)
        for module in self.tail.modules():
            if tuning.moving_statistics and isinstance(module, _BatchNorm):
                module.train()
        self.optimizer = torch.optim.AdamW(parameter_groups(self.tail, tuning))
        self._start = [parameter.detach().clone() for parameter in self._trained()]
        self._data, self._tuning, self._rules = data, tuning, TASKS[data.task]
        self._weights = torch.from_numpy(data.weights).to(data.device)

    def learn(
        self, chosen: NDArray[np.int64], generator: np.random.Generator, factor: float, step: int
    ) -> float:
        """Take one optimizer step on the chosen pictures and return their loss.

        A loss that is no number changes nothing.

        factor: of the learning rate. step: how many came before, which the average's warm-up asks for.
        """
        with self._everywhere("learn", chosen, generator, factor, step):
            return self._learn(chosen, generator, factor, step)

    def state(self) -> State:
        """Return everything that moves, as tensors in the processor's memory."""
        tensors = pack_optimizer(self.optimizer)
        for prefix, module in (("tail", self.tail), ("average", self.average)):
            tensors |= {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
        return {name: tensor.cpu() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave; other tensors are left alone."""
        for prefix, module in (("tail.", self.tail), ("average.", self.average)):
            module.load_state_dict(under(prefix, state))
        unpack_optimizer(self.optimizer, dict(state))

    def _learn(
        self, chosen: NDArray[np.int64], generator: np.random.Generator, factor: float, step: int
    ) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        with _autocast(self._tuning.bf16, self._data.device), self._statistics():
            loss = self._loss(chosen, generator)
        value = float(self._ranks.total(loss.detach()).item())
        if not math.isfinite(value):
            return value
        torch.autograd.backward(loss)
        self._add_up_gradients()
        self._pull_to_start()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._follow(min(self._tuning.ema, (1 + step) / (10 + step)))
        return value

    def _loss(self, chosen: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """Return this rank's part of a batch's loss, mixed with itself in another order where that is wanted.

        Every rank draws for the whole batch, as one process would, and reads its share of the pictures.
        Mixing is Zhang et al. 2018; on activations it is Verma et al. 2019.
        """
        own = np.array(share(len(chosen), self._ranks), np.int64)
        picks = generator.integers(len(self._data.train), size=len(chosen))
        inputs = self._read(chosen[own], picks[own])
        if not self._tuning.mixup:
            return self._plain_loss(self._logits(inputs, own, len(chosen), generator), chosen, own)
        ratio = float(generator.beta(self._tuning.mixup, self._tuning.mixup))
        other = generator.permutation(len(chosen))[own]
        mixed = ratio * inputs + (1 - ratio) * self._read(chosen[other], picks[other])
        logits = self._logits(mixed, own, len(chosen), generator)
        return ratio * self._plain_loss(logits, chosen, own) + (1 - ratio) * self._plain_loss(
            logits, chosen, other
        )

    def _read(self, chosen: NDArray[np.int64], picks: NDArray[np.int64]) -> Tensor:
        return take_views(self._data.train, chosen, picks, self._data.device)

    def _plain_loss(self, logits: Tensor, chosen: NDArray[np.int64], own: NDArray[np.int64]) -> Tensor:
        """Return what pictures of a batch add to its mean loss; own: their places in it."""
        if not len(own):
            return logits.sum() * 0.0
        rules: TaskRules = self._rules
        targets = self._data.targets[chosen]
        weights = rules.picture_weights(targets, self._data.weights)
        part = float(weights[own].sum(dtype=np.float64) / weights.sum(dtype=np.float64))
        found = torch.from_numpy(targets[own]).to(self._data.device)
        return part * rules.loss(logits.float(), found, self._weights, self._tuning.label_smoothing)

    def _logits(
        self, inputs: Tensor, own: NDArray[np.int64], count: int, generator: np.random.Generator
    ) -> Tensor:
        """Run the tail, with dropout before the head; own: places among the `count` pictures of the batch."""
        if not self._tuning.dropout:
            return torch.as_tensor(self.tail(inputs))
        features = self.tail[:-1](inputs)
        kept = generator.random((count, *features.shape[1:]))[own] >= self._tuning.dropout
        mask = torch.from_numpy((kept / (1 - self._tuning.dropout)).astype(np.float32))
        return torch.as_tensor(self.tail[-1](features * mask.to(self._data.device)))

    def _statistics(self) -> AbstractContextManager[Any]:
        is_shared = self._tuning.moving_statistics and self._ranks.size > 1
        return SyncedStatistics(self._ranks) if is_shared else nullcontext()

    def _add_up_gradients(self) -> None:
        """Add up the ranks' gradients, all in one message; what has none on any rank has none after it."""
        if self._ranks.size == 1:
            return
        trained = self._trained()
        there = torch.tensor([float(one.grad is not None) for one in trained], device=self._data.device)
        parts = [(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in trained]
        whole = self._ranks.total(torch.cat([*parts, there]))
        *added, there = torch.split(whole, [*map(len, parts), len(there)])
        for one, gradient, count in zip(trained, added, there.tolist(), strict=True):
            one.grad = torch.empty_like(one).copy_(gradient.view(one.shape)) if count else None

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
    return take_views(views, chosen, generator.integers(len(views), size=len(chosen)))


def take_views(
    views: Sequence[Rows], chosen: NDArray[np.int64], picks: NDArray[np.int64], device: DeviceName = "cpu"
) -> Tensor:
    """Return the activations of the chosen pictures, each in the view of this number."""
    if not len(chosen):
        return to_tensor(views[0].take(chosen), device)
    return to_tensor(np.stack([views[v].take(chosen[i : i + 1])[0] for i, v in enumerate(picks)]), device)


def copy_of(tail: nn.Sequential, data: StepData, tuning: Tuning, state: State) -> Tuner:
    """Make a tuner like one that began with this tail and is at this state."""
    tuner = Tuner(tail, data, tuning)
    tuner.restore(state)
    return tuner


def _frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _autocast(bf16: bool, device: DeviceName) -> AbstractContextManager[Any]:
    return torch.autocast(device, dtype=torch.bfloat16) if bf16 else nullcontext()
