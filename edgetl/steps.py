"""The steps of a training: the head solved, then more and more stages tuned, each kept only if it helps."""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
_PLAN = "plan.json"

# Activations of the training, choosing and verifying pictures, by these names.
AllActivations = Mapping[str, Activations]


@dataclass(slots=True)
class Best:
    """The best so far. Its stages live in the job's backbone; the last `trained` of them were tuned."""

    head: nn.Linear
    score: Score
    trained: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that time and disk allow, settled before the first.

    left_out: why not, by the number of stages of the step; the empty text where it is taken.
    key: what the plan was made for.
    """

    key: str
    left_out: Mapping[str, str]

    def cuts(self, job: Job) -> list[int]:
        """Return the boundaries of the steps that are taken, as numbers of frozen stages, rising."""
        taken = [int(count) for count, reason in self.left_out.items() if not reason]
        return sorted(len(job.backbone.stages) - count for count in taken)


def make_plan(job: Job, folder: Path) -> Plan:
    """Plan the steps; after an interruption of the same training, as the plan kept in `folder` says."""
    key = _hash(job, weights=job.backbone.weights_id, time_budget_s=job.recipe.time_budget_s)
    kept = _read_json(folder / _PLAN)
    if kept.get("key") == key:
        plan = Plan(**kept)
    else:
        plan = Plan(key, {str(count): _why_not(job, count) for count in job.steps()})
    for count, reason in plan.left_out.items():
        if reason:
            _leave_out(job, int(count), reason)
    return plan


def keep_plan(plan: Plan, folder: Path) -> None:
    """Write the plan to where `make_plan` looks for it."""
    write_json(folder / _PLAN, asdict(plan))


def _why_not(job: Job, count: int) -> str:
    """Return why a step cannot be taken, or the empty text."""
    cut = len(job.backbone.stages) - count
    size = _cache_bytes(job, cut)
    if size > _MOST_CACHE_BYTES:
        return f"its activations would take {size / 2**30:.0f} GiB"
    epochs = _fewest_epochs(job)
    seconds = epochs * _epoch_seconds(job, cut)
    return f"{epochs} epochs take {seconds:.0f} s of the time budget" if seconds > job.seconds_left() else ""


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
    if not epochs:
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


def derive_epochs(pictures: int) -> int:
    """Derive the epochs of a step from the number of training pictures."""
    return min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, round(_PICTURES_PER_STEP / pictures)))


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
    """Return how many epochs a step gets: as settled before an interruption, or as the time allows, or 0."""
    settled = slot.folder / f"{slot.name}.json"
    record = _read_json(settled)
    if record.get("key") == key:
        return int(record["epochs"])
    wanted = job.recipe.epochs or derive_epochs(len(job.dataset.train))
    epochs = min(wanted, int(job.seconds_left() / _epoch_seconds(job, cut)))
    if epochs < _fewest_epochs(job):
        return 0
    if epochs < wanted:
        job.watcher.note(f"Shortened to the time budget: {epochs} epochs of {wanted}.")
    write_json(settled, {"key": key, "epochs": epochs})
    return epochs


def _fewest_epochs(job: Job) -> int:
    return min(_FEWEST_EPOCHS, job.recipe.epochs or _FEWEST_EPOCHS)


def _key(job: Job, best: Best, count: int) -> str:
    """Name what a checkpoint belongs to: the data, the recipe and the weights that the step starts from."""
    return _hash(job, weights=state_id(tail_from(job.backbone, 0, best.head).state_dict()), count=count)


def _hash(job: Job, **more: object) -> str:
    """Hash the data, the recipe but for its time, and more."""
    recipe = {name: value for name, value in job.recipe.to_json().items() if name != "time_budget_s"}
    facts = {"recipe": recipe, "dataset": job.dataset.fingerprint, **more}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return record


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
