"""The steps of a training: the head solved, then more and more stages tuned, each kept only if it helps."""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgetl.backbones import Backbone, state_id
from edgetl.cache import Rows
from edgetl.checkpoint import Slot
from edgetl.events import Epoch, Step
from edgetl.features import VIEWS, Activations
from edgetl.finetune import Result, StepData, finetune, seconds_per_epoch
from edgetl.head import Head, Labelled, solve_head
from edgetl.job import Job
from edgetl.scoring import Score, compare
from edgetl_runtime.atomic import write_json

# A step sees about this many pictures in all, within 3 to 20 epochs: fewer pictures need more passes, and
# what BiT's rule gives a GPU (256,000) is out of reach of a processor.
_PICTURES_PER_STEP = 8_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 3, 20
# Activations near the input are large; a step that needs more than this on the disk is left out.
_MOST_CACHE_BYTES = 16 << 30

# Activations of the training, choosing and verifying pictures, by these names.
AllActivations = Mapping[str, Activations]


@dataclass(slots=True)
class Best:
    """The best so far. Its stages live in the job's backbone; the last `trained` of them were tuned."""

    head: nn.Linear
    score: Score
    trained: int = 0


def affordable_cuts(job: Job) -> list[int]:
    """Return the boundaries, as numbers of frozen stages, of the steps that time and disk allow, rising."""
    cuts = []
    for count in job.steps():
        cut = len(job.backbone.stages) - count
        size = _cache_bytes(job, cut)
        seconds = _FEWEST_EPOCHS * _epoch_seconds(job, cut)
        if size > _MOST_CACHE_BYTES:
            _leave_out(job, count, f"its activations would take {size / 2**30:.0f} GiB")
        elif seconds > job.seconds_left():
            _leave_out(job, count, f"{_FEWEST_EPOCHS} epochs take {seconds:.0f} s of the time budget")
        else:
            cuts.append(cut)
    return sorted(cuts)


def solve(job: Job, activations: AllActivations) -> tuple[Best, Step]:
    """Solve the head on the cached features of all views."""
    begun = time.monotonic()
    views = activations["train"].features
    features = np.concatenate([_all(rows) for rows in views]).astype(np.float32)
    targets = np.concatenate([job.targets(job.dataset.train)] * len(views))
    choose = Labelled(_all(activations["choose"].features[0]), job.targets(job.choose))
    head = solve_head(Labelled(features, targets), choose, task=job.dataset.task, weights=job.weights)
    found = job.score(head(choose.features), job.choose)
    size = head.weight.size + head.bias.size
    reason = f"solved with C = {head.c:g}"
    return Best(_linear(head), found), _record("head", size, begun, found, (True, reason), ())


def take_step(job: Job, activations: AllActivations, best: Best, count: int, folder: Path) -> Step | None:
    """Tune the last `count` stages from the best so far and adopt them if that helps.

    Returns None when the time budget leaves no room. Goes on from a checkpoint in `folder`.
    """
    begun = time.monotonic()
    cut = len(job.backbone.stages) - count
    name, key, slot = job.step_name(count), _key(job, best, count), Slot(folder, f"step-{count}")
    epochs = _epochs(job, cut, slot, key)
    if epochs < _FEWEST_EPOCHS and job.recipe.epochs is None:
        _leave_out(job, count, "the time budget is used up")
        return None
    job.watcher.phase(f"{name}, {epochs} epochs")

    def report(epoch: Epoch) -> None:
        job.watcher.epoch(name, epoch, epochs)

    tail = tail_from(job.backbone, cut, best.head)
    data = _step_data(job, activations, cut)
    result = finetune(tail, data, job.recipe, epochs, slot=slot, key=key, on_epoch=report)
    verdict = compare(best.score, result.score)
    if verdict.keep:
        _adopt(job.backbone, best, cut, result)
    size = sum(parameter.numel() for parameter in tail.parameters())
    return _record(name, size, begun, result.score, (verdict.keep, verdict.reason), result.epochs)


def tail_from(backbone: Backbone, cut: int, head: nn.Linear) -> nn.Sequential:
    """Join the stages from number `cut` on and the head."""
    modules = [(stage.name, stage.module) for stage in backbone.stages[cut:]]
    return nn.Sequential(OrderedDict([*modules, ("head", head)]))


def _step_data(job: Job, activations: AllActivations, cut: int) -> StepData:
    return StepData(
        train=activations["train"].boundaries[cut],
        targets=job.targets(job.dataset.train),
        choose=activations["choose"].boundaries[cut][0],
        choose_targets=job.targets(job.choose),
        weights=job.weights,
        task=job.dataset.task,
    )


def _adopt(backbone: Backbone, best: Best, cut: int, result: Result) -> None:
    """Copy a result's weights into the backbone and the head."""
    *stages, head = list(result.tail)
    for stage, tuned in zip(backbone.stages[cut:], stages, strict=True):
        stage.module.load_state_dict(tuned.state_dict())
    best.head.load_state_dict(head.state_dict())
    best.score, best.trained = result.score, len(backbone.stages) - cut


def _epochs(job: Job, cut: int, slot: Slot, key: str) -> int:
    """Return how many epochs a step gets: as settled before an interruption, or as the time allows."""
    settled = slot.folder / f"{slot.name}.json"
    record = json.loads(settled.read_text(encoding="utf-8")) if settled.exists() else {}
    if record.get("key") == key:
        return int(record["epochs"])
    by_size = round(_PICTURES_PER_STEP / len(job.dataset.train))
    wanted = job.recipe.epochs or min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, by_size))
    epochs = min(wanted, max(0, int(job.seconds_left() / _epoch_seconds(job, cut))))
    write_json(settled, {"key": key, "epochs": epochs})
    return epochs


def _key(job: Job, best: Best, count: int) -> str:
    """Name what a checkpoint belongs to: the data, the recipe and the weights that the step starts from."""
    recipe = {name: value for name, value in job.recipe.to_json().items() if name != "time_budget_s"}
    weights = state_id(tail_from(job.backbone, 0, best.head).state_dict())
    facts = {"recipe": recipe, "dataset": job.dataset.fingerprint, "weights": weights, "count": count}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _leave_out(job: Job, count: int, reason: str) -> None:
    job.watcher.note(f"Left out: {job.step_name(count)}; {reason}.")


def _shape_at(job: Job, cut: int) -> tuple[int, ...]:
    size = job.preprocess.size
    with torch.no_grad():
        return tuple(job.backbone.prefix(cut)(torch.zeros(1, 3, size, size)).shape[1:])


def _cache_bytes(job: Job, cut: int) -> int:
    values = int(np.prod(_shape_at(job, cut))) * len(VIEWS[job.recipe.views])
    return np.dtype(np.float16).itemsize * values * len(job.dataset.train)


def _epoch_seconds(job: Job, cut: int) -> float:
    head = nn.Linear(job.backbone.width, len(job.dataset.classes))
    tail = tail_from(job.backbone, cut, head)
    return seconds_per_epoch(tail, _shape_at(job, cut), len(job.dataset.train))


def _all(rows: Rows) -> NDArray[Any]:
    return rows.take(np.arange(len(rows)))


def _linear(head: Head) -> nn.Linear:
    layer = nn.Linear(head.weight.shape[1], head.weight.shape[0])
    layer.load_state_dict({"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)})
    return layer


def _record(
    name: str, size: int, begun: float, found: Score, verdict: tuple[bool, str], epochs: tuple[Epoch, ...]
) -> Step:
    seconds = time.monotonic() - begun
    return Step(
        name, size, seconds, found.loss, found.accuracy, found.balanced_accuracy, *verdict, epochs=epochs
    )
