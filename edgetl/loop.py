"""The one training loop: over epochs and batches of cached activations, top to bottom, no callbacks.

Knows nothing about pictures; of files, only the checkpoint from which a killed step goes on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from torch import nn

from edgetl.checkpoint import Checkpoint, Slot, under
from edgetl.events import Epoch
from edgetl.scoring import Score
from edgetl.tail import Diverged, StepData, choosing_score, working_copy
from edgetl.tuner import Tuner, Tuning, learning_rate_factor


@dataclass(frozen=True, slots=True)
class Result:
    """The averaged tail after its best epoch, its score on the choosing pictures, and how it came about.

    stopped: why not all epochs were taken, or the empty text.
    """

    tail: nn.Sequential
    score: Score
    epochs: tuple[Epoch, ...]
    stopped: str


def finetune(
    tail: nn.Sequential,
    data: StepData,
    tuning: Tuning,
    epochs: int,
    *,
    slot: Slot,
    key: str,
    on_epoch: Callable[[Epoch], None],
) -> Result:
    """Train a tail: the stages behind the boundary and the head, named modules, head last.

    Goes on from the checkpoint in `slot` when its key matches, to the same bits as without the interruption.
    A loss or an answer that is not a number ends the step; what was best until then is the result.
    """
    tuner = Tuner(tail, data, tuning)
    best = working_copy(tail)
    done = _restore(slot.load(key), tuner, best)
    batches = batches_per_epoch(len(data.targets), tuning.batch_size)
    stopped = _ended_early(done, tuning.patience, epochs)
    while not stopped and len(done) < epochs:
        number, begun, losses = len(done) + 1, time.monotonic(), []
        generator = np.random.default_rng([tuning.seed, len(tail), number])
        order = generator.permutation(len(data.targets))
        try:
            for batch in range(batches):
                step = (number - 1) * batches + batch
                chosen = order[batch * tuning.batch_size : (batch + 1) * tuning.batch_size]
                factor = learning_rate_factor(step, epochs * batches, tuning.warmup)
                loss = tuner.learn(chosen, generator, factor, step)
                if not math.isfinite(loss):
                    raise Diverged(_not_finite(loss, (number, batch + 1, batches), tuning))
                losses.append(loss)
            found = choosing_score(tuner.average, data)
        except Diverged as error:
            stopped = str(error)
            break
        if found.loss < min((epoch.validation_loss for epoch in done), default=math.inf):
            best.load_state_dict(tuner.average.state_dict())
        done.append(_epoch(number, time.monotonic() - begun, float(np.mean(losses)), found))
        slot.save(_checkpoint(key, tuner, best, done))
        on_epoch(done[-1])
        stopped = _ended_early(done, tuning.patience, epochs)
    return Result(best, choosing_score(best, data), tuple(done), stopped)


def batches_per_epoch(pictures: int, batch_size: int) -> int:
    """Return the whole batches in so many pictures, at least one."""
    return max(1, pictures // batch_size)


def out_of_patience(done: Sequence[Epoch], patience: int) -> str:
    """Say that so many epochs have passed since the best one, or nothing; 0 is endless patience."""
    losses = [epoch.validation_loss for epoch in done]
    if not patience or not losses:
        return ""
    since = len(losses) - 1 - losses.index(min(losses))
    return f"no better since epoch {len(losses) - since}" if since >= patience else ""


def _ended_early(done: Sequence[Epoch], patience: int, epochs: int) -> str:
    """Say why a step ends here, or nothing; after its last epoch there is nothing left to end."""
    return out_of_patience(done, patience) if len(done) < epochs else ""


def _not_finite(loss: float, place: tuple[int, int, int], tuning: Tuning) -> str:
    epoch, batch, batches = place
    return (
        f"The loss is {loss} in epoch {epoch}, batch {batch} of {batches}. "
        f"Lower --learning-rate (it is {tuning.learning_rate:g})."
    )


def _epoch(number: int, seconds: float, loss: float, found: Score) -> Epoch:
    return Epoch(number, seconds, loss, found.loss, found.accuracy, found.balanced_accuracy)


def _checkpoint(key: str, tuner: Tuner, best: nn.Module, done: list[Epoch]) -> Checkpoint:
    tensors = {f"best.{name}": tensor for name, tensor in best.state_dict().items()}
    return Checkpoint(key, {"epochs": [asdict(epoch) for epoch in done]}, tuner.state() | tensors)


def _restore(saved: Checkpoint | None, tuner: Tuner, best: nn.Module) -> list[Epoch]:
    """Load a checkpoint, if there is one, and return the epochs that are done."""
    if saved is None:
        return []
    best.load_state_dict(under("best.", saved.tensors))
    tuner.restore(saved.tensors)
    return done_epochs(saved)


def done_epochs(saved: Checkpoint) -> list[Epoch]:
    """Return the epochs that a step's checkpoint says are done."""
    return [Epoch(**epoch) for epoch in saved.facts["epochs"]]
