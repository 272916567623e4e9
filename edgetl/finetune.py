"""One step of fine-tuning: one loop over cached activations, top to bottom, no callbacks.

Knows nothing about pictures and files: rows of activations go in, trained stages come out. BatchNorm stays in
evaluation mode, so its buffers never move; its scale and shift are trained like any weight.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgetl.cache import Rows
from edgetl.checkpoint import Checkpoint, Slot, pack_optimizer, unpack_optimizer
from edgetl.events import Epoch
from edgetl.recipe import Recipe
from edgetl.scoring import Score, score
from edgetl.task import TASKS
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Task

_TRIAL_BATCH, _TRIAL_STEPS = 8, 3


@dataclass(frozen=True, slots=True)
class StepData:
    """What a step learns from and is judged by.

    train: activations at the boundary, for each view. targets: of the training pictures.
    choose: activations of the choosing pictures. choose_targets: theirs. weights: of the classes, (classes,).
    """

    train: tuple[Rows, ...]
    targets: NDArray[Any]
    choose: Rows
    choose_targets: NDArray[Any]
    weights: NDArray[np.float32]
    task: Task


@dataclass(frozen=True, slots=True)
class Result:
    """The averaged tail after a step, its score on the choosing pictures, and how it came about."""

    tail: nn.Sequential
    score: Score
    epochs: tuple[Epoch, ...]


def finetune(
    tail: nn.Sequential,
    data: StepData,
    recipe: Recipe,
    epochs: int,
    *,
    slot: Slot,
    key: str,
    on_epoch: Callable[[Epoch], None],
) -> Result:
    """Train a tail: the stages behind the boundary and the head, named modules, head last.

    Goes on from the checkpoint in `slot` when its key matches, to the same bits as without the interruption.

    Raises:
        InputError: the loss is not a number; the batch is named.
    """
    rules, weights = TASKS[data.task], torch.from_numpy(data.weights)
    tail = copy.deepcopy(tail).eval().to(memory_format=torch.channels_last)
    average = copy.deepcopy(tail)
    optimizer = torch.optim.AdamW(parameter_groups(tail, recipe))
    done = _restore(slot.load(key), tail, average, optimizer)
    batches = max(1, len(data.targets) // recipe.batch_size)
    for number in range(len(done) + 1, epochs + 1):
        begun, total = time.monotonic(), 0.0
        generator = np.random.default_rng([recipe.seed, len(tail), number])
        order = generator.permutation(len(data.targets))
        for batch in range(batches):
            step = (number - 1) * batches + batch
            _set_rates(optimizer, learning_rate_factor(step, epochs * batches, recipe.warmup))
            chosen = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
            inputs = _pick_views(data.train, chosen, generator)
            loss = rules.loss(
                tail(inputs), torch.from_numpy(data.targets[chosen]), weights, recipe.label_smoothing
            )
            if not math.isfinite(loss.item()):
                raise InputError(
                    f"The loss is {loss.item()} in epoch {number}, batch {batch + 1} of {batches}. "
                    f"Lower --learning-rate (it is {recipe.learning_rate:g})."
                )
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            _average(average, tail, min(recipe.ema, (1 + step) / (10 + step)))
            total += loss.item()
        found = evaluate(average, data.choose, data.choose_targets, data)
        done.append(_epoch(number, time.monotonic() - begun, total / batches, found))
        slot.save(_checkpoint(key, tail, average, optimizer, done))
        on_epoch(done[-1])
    return Result(average, evaluate(average, data.choose, data.choose_targets, data), tuple(done))


def evaluate(tail: nn.Module, rows: Rows, targets: NDArray[Any], data: StepData) -> Score:
    """Score a tail on pictures with these activations and targets.

    Raises:
        InputError: a logit is not finite.
    """
    logits = run_tail(tail, rows)
    if not np.isfinite(logits).all():
        raise InputError(
            "The network gives no finite numbers for validation any more. Lower --learning-rate."
        )
    return score(logits, targets, TASKS[data.task], data.weights)


def run_tail(tail: nn.Module, rows: Rows, batch: int = 64) -> NDArray[np.float32]:
    """Return the logits of all rows, (n, classes)."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(rows), batch):
            chosen = np.arange(start, min(start + batch, len(rows)))
            parts.append(tail(_tensor(rows.take(chosen))).numpy())
    return np.concatenate(parts)


def seconds_per_epoch(tail: nn.Sequential, shape: Sequence[int], count: int) -> float:
    """Predict an epoch over `count` pictures from the fastest of a few steps on made-up activations."""
    trial = copy.deepcopy(tail).eval().to(memory_format=torch.channels_last)
    inputs = _tensor(np.zeros((_TRIAL_BATCH, *shape), np.float16))
    seconds = []
    for _ in range(_TRIAL_STEPS):  # The first allocates, and any may meet another job's burst.
        begun = time.monotonic()
        torch.autograd.backward(trial(inputs).square().mean())
        seconds.append(time.monotonic() - begun)
    return min(seconds) * count / _TRIAL_BATCH


def parameter_groups(tail: nn.Sequential, recipe: Recipe) -> list[dict[str, Any]]:
    """Group parameters by stage: the rate decays toward the input, vectors (norms, biases) do not decay."""
    groups = []
    modules = list(tail)
    for number, module in enumerate(modules):
        distance = max(0, len(modules) - 2 - number)  # The head and the last stage share the full rate.
        rate = recipe.learning_rate / recipe.decay**distance
        for is_matrix, decay in ((True, recipe.weight_decay), (False, 0.0)):
            chosen = [p for p in module.parameters() if (p.ndim > 1) == is_matrix]
            if chosen:
                groups.append({"params": chosen, "lr": rate, "full_lr": rate, "weight_decay": decay})
    return groups


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the share of the full rate at a step: linear warm-up, then a cosine to zero."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))


def _set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor


def _pick_views(views: tuple[Rows, ...], chosen: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
    picks = generator.integers(len(views), size=len(chosen))
    return _tensor(np.stack([views[v].take(chosen[i : i + 1])[0] for i, v in enumerate(picks)]))


def _tensor(rows: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(rows.astype(np.float32))
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _average(average: nn.Module, tail: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for mean, new in zip(average.parameters(), tail.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)


def _epoch(number: int, seconds: float, loss: float, found: Score) -> Epoch:
    return Epoch(number, seconds, loss, found.loss, found.accuracy, found.balanced_accuracy)


def _checkpoint(
    key: str, tail: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, done: list[Epoch]
) -> Checkpoint:
    tensors = {f"tail.{name}": tensor for name, tensor in tail.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    return Checkpoint(key, {"epochs": [asdict(epoch) for epoch in done]}, tensors | pack_optimizer(optimizer))


def _restore(
    saved: Checkpoint | None, tail: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> list[Epoch]:
    """Load a checkpoint, if there is one, and return the epochs that are done."""
    if saved is None:
        return []
    for prefix, module in (("tail.", tail), ("average.", average)):
        module.load_state_dict(
            {n.removeprefix(prefix): t for n, t in saved.tensors.items() if n.startswith(prefix)}
        )
    unpack_optimizer(optimizer, saved.tensors)
    return [Epoch(**epoch) for epoch in saved.facts["epochs"]]
