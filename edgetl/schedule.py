"""Which steps time and disk allow, how long each is and at what rate: settled once, and kept for a restart.

What a clock or a race decided is written beside the checkpoints, so that a training which goes on after an
interruption goes on with the same decisions.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from edgetl.autocast import bf16_pays
from edgetl.checkpoint import Slot
from edgetl.dataset import Dataset
from edgetl.device import best_device
from edgetl.events import Watcher
from edgetl.eviction import cap_bytes, room_bytes
from edgetl.extraction import activations_folder
from edgetl.frozen import FrozenStages
from edgetl.job import Job
from edgetl.loop import done_epochs, out_of_patience
from edgetl.race import Contender, Race, candidate_rates, lap_batches, prior_rate, race
from edgetl.recipe import Recipe
from edgetl.stages import Span
from edgetl.tail import StepData, seconds_per_epoch, tail_from
from edgetl.tuner import Tuning
from edgetl.views import training_views
from edgetl_runtime.atomic import write_json

# A step sees about this many pictures in all, within 3 to 20 epochs: fewer pictures need more passes, and
# what BiT's rule gives a GPU (256,000) is out of reach of a processor. Random weights have further to go.
_PICTURES_PER_STEP, _PICTURES_FROM_SCRATCH = 8_000, 64_000
_FEWEST_EPOCHS, _MOST_EPOCHS, _MOST_EPOCHS_FROM_SCRATCH = 3, 20, 60
# Random weights bear and need more than those that are tuned.
_SCRATCH_RATE = 2e-3
# What a race may add to a step.
_RACE_SHARE = 1.15
_PLAN = "plan.json"
# What may change without making another training of it.
_WITHOUT_EFFECT = ("time_budget_s", "target_accuracy", "candidates", "max_latency_ms", "max_size_mb")


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that time and disk allow, settled before the first.

    key: what the plan was made for. left_out: why not, by the name of the step; the empty text where it is
    taken.
    """

    key: str
    left_out: Mapping[str, str]

    def reasons(self) -> dict[str, str]:
        """Return why not, of the steps that are left out."""
        return {name: reason for name, reason in self.left_out.items() if reason}

    def without_steps(self, reason: str, watcher: Watcher) -> "Plan":
        """Leave out all steps, and tell which were not left out yet."""
        for name, before in self.left_out.items():
            if not before:
                watcher.note(f"Left out: {name}; {reason}.")
        return Plan(self.key, {name: before or reason for name, before in self.left_out.items()})

    def spans(self, job: Job) -> list[Span]:
        """Return what the steps that are taken train, in their order."""
        return [span for span in job.spans() if not self.left_out[job.step_name(span)]]

    def cuts(self, job: Job) -> list[int]:
        """Return the boundaries of the steps that are taken, as numbers of frozen stages, rising."""
        return sorted({span.first for span in self.spans(job)})


@dataclass(frozen=True, slots=True)
class Settled:
    """What is decided of a step before its first epoch.

    wanted: the epochs it would have with more time. time_budget_s: of the training that decided it.
    """

    key: str
    epochs: int
    wanted: int
    learning_rate: float
    race: tuple[Contender, ...]
    bf16: bool
    time_budget_s: float = 0.0


def make_plan(job: Job, folder: Path) -> Plan:
    """Plan the steps; after an interruption of the same training, as the plan kept in `folder` says."""
    key = job_hash(job, weights=job.backbone.weights_id, time_budget_s=job.recipe.time_budget_s)
    kept = read_json(folder / _PLAN)
    plan = Plan(**kept) if kept.get("key") == key else Plan(key, _why_not(job, folder))
    for name, reason in plan.reasons().items():
        job.watcher.note(f"Left out: {name}; {reason}.")
    return plan


def keep_plan(plan: Plan, folder: Path) -> None:
    """Write the plan to where `make_plan` looks for it."""
    write_json(folder / _PLAN, asdict(plan))


def settle(
    job: Job, tail: nn.Sequential, data: StepData, plain: Tuning, *, slot: Slot, key: str, error: float
) -> Settled | None:
    """Decide on epochs, rate and precision of a step, or take what was decided before an interruption.

    Another time budget decides anew until the first epoch is done; from there on the schedule stays.

    Args:
        plain: the step's tuning, at a rate that is still to be replaced.
        error: share of wrong answers of the best so far, on the choosing half.

    Returns:
        None when the time budget leaves no room.
    """
    place = _decisions(slot)
    if (kept := read_json(place)).get("key") == key:
        before = _settled(kept)
        other_budget = before.time_budget_s != job.recipe.time_budget_s
        if not other_budget or slot.load(key) is not None:
            if other_budget and before.epochs < before.wanted:
                job.watcher.note(_stays_short(before))
            return before
    wanted = job.recipe.epochs or derive_epochs(len(data.targets), job.from_scratch)
    epochs = _affordable_epochs(job, tail, data, plain, wanted)
    if not epochs:
        return None
    found = _find_rate(job, tail, data, plain, (epochs, error))
    bf16 = job.recipe.precision == "bf16"
    if job.recipe.precision == "auto":
        bf16, told = bf16_pays(tail, data, plain)
        job.watcher.note(told)
    budget = job.recipe.time_budget_s
    settled = Settled(key, epochs, wanted, found.winner, found.contenders, bf16, budget)
    write_json(place, asdict(settled))
    return settled


def step_slot(folder: Path, span: Span) -> Slot:
    """Return the place for the checkpoint of a step."""
    return Slot(folder, f"step-{span.first}-{span.end}")


def step_tuning(job: Job, span: Span, tail: nn.Sequential) -> Tuning:
    """Say how a step is trained; a rate that is to be found is the prior of a perfect head for now."""
    recipe, scratch = job.recipe, job.from_scratch
    cut = len(job.backbone.stages) + 1 - len(tail)
    names = [stage.name for stage in job.backbone.stages]
    return Tuning(
        learning_rate=prior_rate(0.0) if isinstance(recipe.learning_rate, str) else recipe.learning_rate,
        batch_size=recipe.batch_size,
        decay=1.0 if scratch else recipe.decay,
        weight_decay=_number(recipe.weight_decay),
        label_smoothing=_number(recipe.label_smoothing),
        mixup=_number(recipe.mixup),
        l2_sp=0.0 if scratch else _number(recipe.l2_sp),
        dropout=recipe.dropout,
        warmup=recipe.warmup,
        ema=recipe.ema,
        patience=recipe.patience,
        seed=recipe.seed,
        frozen=(*names[cut : span.first], *names[span.end :]),
        moving_statistics=scratch,
    )


def derive_epochs(pictures: int, from_scratch: bool = False) -> int:
    """Derive the epochs of a step from the number of training pictures."""
    in_all = _PICTURES_FROM_SCRATCH if from_scratch else _PICTURES_PER_STEP
    most = _MOST_EPOCHS_FROM_SCRATCH if from_scratch else _MOST_EPOCHS
    return min(most, max(_FEWEST_EPOCHS, round(in_all / pictures)))


def training_facts(dataset: Dataset, recipe: Recipe) -> dict[str, Any]:
    """Return, as JSON can hold it, what makes two trainings the same: pictures, who sees which, settings."""
    settings = {name: value for name, value in recipe.to_json().items() if name not in _WITHOUT_EFFECT}
    facts: dict[str, Any] = json.loads(json.dumps({"pictures": dataset.split_fingerprint, **settings}))
    return facts


def job_hash(job: Job, **more: object) -> str:
    """Hash what makes a training the same, and more."""
    facts = {"training": training_facts(job.dataset, job.recipe), **more}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read an object, or give an empty one where there is no file."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return record


def _decisions(slot: Slot) -> Path:
    return slot.folder / f"{slot.name}.json"


def _why_not(job: Job, folder: Path) -> dict[str, str]:
    """Return for each step why it cannot be taken, or the empty text; the first ones have the first claim."""
    room = room_bytes(activations_folder(), cap_bytes()) - _cache_bytes(job, (job.backbone.width,))
    cuts: set[int] = set()
    found = {}
    firsts = sorted({span.first for span in job.spans()})
    *boundaries, _ = FrozenStages(job.backbone, firsts).shapes(job.preprocess.size)
    shapes = dict(zip(firsts, boundaries, strict=True))
    for span in job.spans():
        shape = shapes[span.first]
        needed = 0 if span.first in cuts else _cache_bytes(job, shape)
        reason = _too_large(needed, room) or _too_long(job, span, shape, step_slot(folder, span))
        if not reason:
            cuts.add(span.first)
            room -= needed
        found[job.step_name(span)] = reason
    return found


def _too_large(needed: int, room: int) -> str:
    if needed <= room:
        return ""
    wanted, there = f"{needed / 1e9:.3f} GB", f"{max(room, 0) / 1e9:.3f} GB"
    return f"its activations take {wanted}, the cache has room for {there} (EDGETL_CACHE_GB, free disk)"


def _too_long(job: Job, span: Span, shape: tuple[int, ...], slot: Slot) -> str:
    epochs = _fewest_epochs_left(job, slot)
    if not epochs:
        return ""
    head = nn.Linear(job.backbone.width, len(job.dataset.classes))
    tail = tail_from(job.backbone, span.first, head)
    frozen = [stage.name for stage in job.backbone.stages[span.end :]]
    count, size = len(job.dataset.train), job.recipe.batch_size
    seconds = epochs * seconds_per_epoch(tail, shape, count, frozen, best_device(), size)
    return f"{epochs} epochs take {seconds:.0f} s of the time budget" if seconds > job.seconds_left() else ""


def _fewest_epochs_left(job: Job, slot: Slot) -> int:
    """Return with how few epochs a step is taken, less those that an interruption left done."""
    fewest, kept = _fewest_epochs(job), read_json(_decisions(slot))
    saved = slot.load(kept["key"]) if kept else None
    if saved is None:
        return fewest
    done = done_epochs(saved)
    return 0 if out_of_patience(done, job.recipe.patience) else min(fewest, kept["epochs"] - len(done))


def _affordable_epochs(job: Job, tail: nn.Sequential, data: StepData, plain: Tuning, wanted: int) -> int:
    """Return how many epochs, and the race before them, the time allows; 0 when too few."""
    shape, count = data.train[0].array.shape[1:], len(data.targets)
    one = seconds_per_epoch(tail, shape, count, plain.frozen, data.device, plain.batch_size)
    price = one * (_RACE_SHARE if job.recipe.learning_rate == "auto" else 1)
    epochs = min(wanted, int(job.seconds_left() / price))
    if epochs < _fewest_epochs(job):
        return 0
    if epochs < wanted:
        job.watcher.note(f"Shortened to the time budget: {epochs} epochs of {wanted}.")
    return epochs


def _find_rate(
    job: Job, tail: nn.Sequential, data: StepData, plain: Tuning, scope: tuple[int, float]
) -> Race:
    epochs, error = scope
    if job.recipe.learning_rate != "auto":
        return Race(plain.learning_rate, ())
    prior = _SCRATCH_RATE if job.from_scratch else prior_rate(error)
    batches = lap_batches(data, plain.batch_size, epochs)
    if not batches:
        job.watcher.note(f"learning rate {prior:.2g}: the step is too short for a race")
        return Race(prior, ())
    found = race(tail, data, plain, candidate_rates(prior), batches)
    job.watcher.note(_told(found))
    return found


def _told(found: Race) -> str:
    laps = "; ".join(
        f"{one.rate:.2g}: {' → '.join('diverged' if x is None else f'{x:.3f}' for x in one.losses)}"
        for one in found.contenders
    )
    return f"learning rate {found.winner:.2g} won the race (validation loss by lap: {laps})"


def _stays_short(settled: Settled) -> str:
    epochs = f"{settled.epochs} of {settled.wanted} epochs"
    budget = f"{settled.time_budget_s:g} s"
    return f"The step stays at {epochs}, to which {budget} had shortened it; a fresh --out trains it whole."


def _settled(kept: Mapping[str, Any]) -> Settled:
    contenders = tuple(Contender(one["rate"], tuple(one["losses"])) for one in kept["race"])
    return Settled(**{**kept, "race": contenders})


def _fewest_epochs(job: Job) -> int:
    return min(_FEWEST_EPOCHS, job.recipe.epochs or _FEWEST_EPOCHS)


def _cache_bytes(job: Job, shape: tuple[int, ...]) -> int:
    """Return what the rows of this shape take: of every view to train on, and of validation as it is."""
    rows = len(training_views(job.recipe)) * len(job.dataset.train) + len(job.choose) + len(job.verify)
    return np.dtype(np.float16).itemsize * int(np.prod(shape)) * rows


def _number(value: float | str) -> float:
    """Return a regularizer's number, which `with_regularizers` has put into every job."""
    return float(value)
