"""The steps of a training: the head solved, then more and more stages tuned, each kept only if it helps."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl.backbones import Backbone, state_id
from edgetl.blend import Blend, blend
from edgetl.cache import Rows
from edgetl.checkpoint import Slot
from edgetl.device import best_device
from edgetl.events import Epoch, Step, Tuned
from edgetl.features import Activations
from edgetl.gap import Gap, measure_gap
from edgetl.head import FEWEST_TO_FIT, Head, Labelled
from edgetl.job import Job
from edgetl.large_head import solve_rows
from edgetl.loop import Result, finetune
from edgetl.schedule import Settled, job_hash, settle, step_slot, step_tuning
from edgetl.scoring import Comparison, Score, compare
from edgetl.stages import Span
from edgetl.tail import Diverged, StepData, choosing_score, tail_from
from edgetl.tuner import Tuning

# Activations of the training, choosing and verifying pictures, by these names.
AllActivations = Mapping[str, Activations]


@dataclass(frozen=True, slots=True)
class Best:
    """The best so far: the backbone's first `cut` stages as they are, then this tail, and their score."""

    tail: nn.Sequential
    cut: int
    score: Score

    @property
    def head(self) -> nn.Linear:
        """The last layer."""
        head = self.tail[-1]
        assert isinstance(head, nn.Linear)
        return head

    def tail_at(self, backbone: Backbone, cut: int) -> nn.Sequential:
        """Return what follows the backbone's first stages up to an earlier, or the same, boundary."""
        before = [(stage.name, stage.module) for stage in backbone.stages[cut : self.cut]]
        return nn.Sequential(OrderedDict([*before, *self.tail.named_children()]))

    def install(self, backbone: Backbone) -> None:
        """Put the tuned weights into the backbone's own stages."""
        for stage, module in zip(backbone.stages[self.cut :], list(self.tail)[:-1], strict=True):
            stage.module.load_state_dict(module.state_dict())


def solve(job: Job, activations: AllActivations) -> tuple[Best, Step]:
    """Solve the head on the cached features of all views."""
    begun = time.monotonic()
    views = activations["train"].features
    targets = job.targets(job.dataset.train)
    choose = Labelled(_all(activations["choose"].features[0]), job.targets(job.choose))
    head = solve_rows(views, targets, choose, task=job.dataset.task, weights=job.weights)
    found = job.score(head(choose.features), job.choose)
    stages = len(job.backbone.stages)
    tail = tail_from(job.backbone, stages, linear(head))
    gap = measure_gap(tail, step_data(job, activations, stages), found, job.recipe.seed)
    step = Step(
        name="head",
        parameters=head.weight.size + head.bias.size,
        seconds=time.monotonic() - begun,
        validation_loss=found.loss,
        accuracy=found.accuracy,
        balanced_accuracy=found.balanced_accuracy,
        kept=True,
        reason=_how(head),
        gap=asdict(gap),
    )
    return Best(tail, stages, found), step


def take_step(
    job: Job, activations: AllActivations, best: Best, span: Span, folder: Path
) -> tuple[Best, Step] | None:
    """Tune the stages of a span from the best so far and take them for the best if that helps.

    Returns None when the time budget leaves no room. Goes on from a checkpoint in `folder`.
    """
    begun = time.monotonic()
    name, cut = job.step_name(span), min(span.first, best.cut)
    slot = step_slot(folder, span)
    tail, data = best.tail_at(job.backbone, cut), step_data(job, activations, cut)
    plain = step_tuning(job, span, tail)
    key = job_hash(job, weights=_weights(job, best), span=asdict(span))
    if job.recipe.learning_rate == "auto":
        job.watcher.phase(f"{name}: race of learning rates")
    epochs: tuple[Epoch, ...] = ()
    try:
        settled = settle(job, tail, data, plain, slot=slot, key=key, error=1 - best.score.balanced_accuracy)
        if settled is None:
            return None
        tuning = replace(plain, learning_rate=settled.learning_rate, bf16=settled.bf16)
        result = _tune(job, (name, tail), data, tuning, settled, slot)
        epochs = result.epochs
        found = _blended(tail, result, data, tuning)
        gap = measure_gap(found.tail, data, found.score, job.recipe.seed)
    except Diverged as error:
        return best, _failed(name, best, epochs, str(error), time.monotonic() - begun)
    verdict = compare(best.score, found.score)
    judged = verdict, gap, time.monotonic() - begun
    step = _record(name, (tuning, settled), result, found, judged, tail)
    return Best(found.tail, cut, found.score) if verdict.keep else best, step


def step_data(job: Job, activations: AllActivations, cut: int) -> StepData:
    """Give what a step sees whose tail begins at this boundary."""
    return StepData(
        train=rows_at(job, activations["train"], cut),
        targets=job.targets(job.dataset.train),
        choose=rows_at(job, activations["choose"], cut)[0],
        choose_targets=job.targets(job.choose),
        weights=job.weights,
        task=job.dataset.task,
        device=best_device(),
    )


def rows_at(job: Job, found: Activations, cut: int) -> tuple[Rows, ...]:
    """Give what a tail that begins at this boundary sees of each view; behind all stages, the features."""
    return found.features if cut == len(job.backbone.stages) else found.boundaries[cut]


def linear(head: Head) -> nn.Linear:
    """Turn a solved head into a layer."""
    layer = nn.Linear(head.weight.shape[1], head.weight.shape[0])
    layer.load_state_dict({"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)})
    return layer


def _how(head: Head) -> str:
    if head.c is not None:
        return f"solved with C = {head.c:g}"
    return f"class centroids: the smallest class has fewer than {FEWEST_TO_FIT} training pictures"


def _tune(
    job: Job,
    named: tuple[str, nn.Sequential],
    data: StepData,
    tuning: Tuning,
    settled: Settled,
    slot: Slot,
) -> Result:
    name, tail = named

    def report(epoch: Epoch) -> None:
        job.watcher.epoch(name, epoch, settled.epochs)

    job.watcher.phase(f"{name}, {settled.epochs} epochs")
    result = finetune(tail, data, tuning, settled.epochs, slot=slot, key=settled.key, on_epoch=report)
    if result.stopped:
        job.watcher.note(f"{name} stopped after epoch {len(result.epochs)}: {result.stopped}")
    return result


def _blended(tail: nn.Sequential, result: Result, data: StepData, tuning: Tuning) -> Blend:
    """Look for a better point between the weights before and after; with moving statistics there is none."""
    if not result.epochs:
        raise Diverged(result.stopped)
    if tuning.moving_statistics:
        return Blend(result.tail, result.score, 1.0)
    return blend(tail, result.tail, lambda mixed: choosing_score(mixed, data))


def _record(
    name: str,
    how: tuple[Tuning, Settled],
    result: Result,
    found: Blend,
    judged: tuple[Comparison, Gap, float],
    tail: nn.Sequential,
) -> Step:
    (tuning, settled), (verdict, gap, seconds) = how, judged
    trained = [module for part, module in tail.named_children() if part not in tuning.frozen]
    race = tuple((one.rate, one.losses) for one in settled.race)
    planned = settled.epochs, settled.wanted
    return Step(
        name=name,
        parameters=sum(parameter.numel() for module in trained for parameter in module.parameters()),
        seconds=seconds,
        validation_loss=found.score.loss,
        accuracy=found.score.accuracy,
        balanced_accuracy=found.score.balanced_accuracy,
        kept=verdict.keep,
        reason=verdict.reason,
        epochs=result.epochs,
        tuned=Tuned(tuning.learning_rate, race, tuning.bf16, found.share, result.stopped, planned),
        gap=asdict(gap),
    )


def _failed(name: str, best: Best, epochs: tuple[Epoch, ...], reason: str, seconds: float) -> Step:
    """Record a step that gave no finite numbers: the figures are those of the best, which stays."""
    figures = best.score.loss, best.score.accuracy, best.score.balanced_accuracy
    return Step(name, 0, seconds, *figures, kept=False, reason=reason, epochs=epochs)


def _weights(job: Job, best: Best) -> str:
    return state_id(best.tail_at(job.backbone, 0).state_dict())


def _all(rows: Rows) -> NDArray[Any]:
    return rows.take(np.arange(len(rows)))
