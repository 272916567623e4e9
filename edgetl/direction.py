"""Which side to unfreeze first, measured: input, middle and output are each tuned for a moment.

Shifted inputs want the first layers, shifted classes the last (Lee et al. 2023), and nobody sees which it is.
The choice is by validation loss. Beside it stands the relative gradient norm |g| / |w| of each block, the
paper's own criterion, without BatchNorm's parameters.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgetl.cache import NoSpace
from edgetl.features import PLAIN, Extractor
from edgetl.job import Job
from edgetl.race import prior_rate
from edgetl.recipe import Direction
from edgetl.schedule import job_hash, read_json, step_tuning
from edgetl.stages import Span, blocks
from edgetl.steps import AllActivations, Best, solve, step_data
from edgetl.tail import Diverged, StepData, choosing_score, seconds_per_epoch, working_copy
from edgetl.task import TASKS
from edgetl.tuner import Tuner, Tuning, learning_rate_factor, pick_views
from edgetl_runtime.atomic import write_json
from edgetl_runtime.pictures import Picture

_SAMPLE = 512
_MOST_PASSES = 2
_FEWEST_BATCHES = 6
# Of the time budget, for each of three probes.
_SHARE = 0.05
_GRADIENT_BATCHES = 5
_FILE = "direction.json"
_BLOCKS: tuple[Direction, ...] = ("input", "middle", "output")


@dataclass(frozen=True, slots=True)
class Probe:
    """What a moment of tuning one block gave.

    loss: on the choosing half, in nats, None where it diverged. before: that of the head alone.
    gradient: the block's relative gradient norm, divided by the largest of the three; None where it is no
    number.
    """

    block: Direction
    stages: str
    loss: float | None
    before: float
    gradient: float | None
    batches: int
    seconds: float


def choose_direction(job: Job, folder: Path) -> tuple[Job, tuple[Probe, ...]]:
    """Replace the recipe's "auto" by the side that the probes speak for, or by the output side."""
    if job.recipe.unfreeze != "auto" or job.from_scratch:
        return job, ()
    key = job_hash(job, weights=job.backbone.weights_id)
    kept = read_json(folder / _FILE)
    if kept.get("key") == key and not _is_outdated(kept, job, folder):
        probes = tuple(Probe(**probe) for probe in kept["probes"])
    else:
        probes = _probe(job)
        record = {"key": key, "time_budget_s": job.recipe.time_budget_s}
        write_json(folder / _FILE, record | {"probes": [asdict(probe) for probe in probes]})
    chosen = best_direction(probes)
    job.watcher.note(told(probes, chosen))
    return replace(job, recipe=replace(job.recipe, unfreeze=chosen)), probes


def _is_outdated(kept: Mapping[str, Any], job: Job, folder: Path) -> bool:
    """Tell whether another time budget may suffice for probes that there are not; no step has begun yet."""
    other_budget = kept.get("time_budget_s") != job.recipe.time_budget_s
    return not kept["probes"] and other_budget and not any(folder.glob("step-*.safetensors"))


def best_direction(probes: Sequence[Probe]) -> Direction:
    """Return the block with the lowest loss; of equals, and with nothing to go by, the one at the output."""
    found = [probe for probe in reversed(probes) if probe.loss is not None]
    return min(found, key=lambda probe: probe.loss or 0.0).block if found else "output"


def told(probes: Sequence[Probe], chosen: Direction) -> str:
    """Say in words what was measured."""
    if not probes:
        return "unfreeze: output, since time, disk or stages do not suffice to probe"
    seen = ", ".join(
        f"{one.block} {_number(one.loss, 3, 'diverged')} (gradient {_number(one.gradient, 2, 'no number')})"
        for one in probes
    )
    return f"unfreeze: {chosen}; validation loss {probes[0].before:.3f} after a moment of tuning: {seen}"


def _number(value: float | None, digits: int, without: str) -> str:
    return without if value is None else f"{value:.{digits}f}"


def _probe(job: Job) -> tuple[Probe, ...]:
    spans = blocks(len(job.backbone.stages))
    if spans["input"] == spans["output"]:
        return ()
    job.watcher.phase("probing which side to unfreeze")
    try:
        sample, activations = _sampled(job, sorted({span.first for span in spans.values()}))
    except NoSpace:  # Its activations at the input are large; without them the head can still be had.
        return ()
    best, _ = solve(sample, activations)
    batches = _affordable_batches(sample, activations, best)
    if not batches:
        return ()
    norms = _gradients(sample, activations, best, spans)
    return tuple(
        _tuned(sample, activations, best, (block, spans[block]), (batches, norms[block])) for block in _BLOCKS
    )


def _sampled(job: Job, cuts: Sequence[int]) -> tuple[Job, AllActivations]:
    """Take a seeded sample of the training pictures, each as it is, and its activations."""
    train = _sample(job)
    sample = replace(job, dataset=replace(job.dataset, train=train))
    extract = Extractor(job.backbone, job.preprocess, cuts, "f32")
    found = {"train": extract(train, (PLAIN,), job.watcher.progress), "choose": extract(job.choose, (PLAIN,))}
    return sample, found


def _sample(job: Job) -> tuple[Picture, ...]:
    """Draw training pictures, with at least one of each class."""
    everything = job.dataset.train
    order = np.random.default_rng([job.recipe.seed, 3]).permutation(len(everything))
    return job.dataset.with_every_class([everything[place] for place in order[:_SAMPLE]])


def _affordable_batches(job: Job, activations: AllActivations, best: Best) -> int:
    """Return how many batches each probe gets, by the price of the dearest; 0 when too few."""
    data, tail = step_data(job, activations, 0), best.tail_at(job.backbone, 0)
    size = job.recipe.batch_size
    one = seconds_per_epoch(tail, data.choose.array.shape[1:], size, (), data.device, size)
    affordable = int(_SHARE * job.recipe.time_budget_s / one)
    most = math.ceil(_MOST_PASSES * len(data.targets) / size)
    batches = min(most, affordable)
    return batches if batches >= min(_FEWEST_BATCHES, most) else 0


def _tuned(
    job: Job,
    activations: AllActivations,
    best: Best,
    block: tuple[Direction, Span],
    scope: tuple[int, float | None],
) -> Probe:
    """Tune one block from the head, through a whole little schedule."""
    (name, span), (batches, gradient) = block, scope
    begun = time.monotonic()
    tail, data = best.tail_at(job.backbone, span.first), step_data(job, activations, span.first)
    rate = job.recipe.learning_rate
    rate = prior_rate(1 - best.score.balanced_accuracy) if isinstance(rate, str) else rate
    tuning = replace(step_tuning(job, span, tail), learning_rate=rate)
    loss = _loss_after(tail, data, tuning, batches)
    stages = span.name(len(job.backbone.stages))
    return Probe(name, stages, loss, best.score.loss, gradient, batches, time.monotonic() - begun)


def _loss_after(tail: nn.Sequential, data: StepData, tuning: Tuning, batches: int) -> float | None:
    tuner, generator = Tuner(tail, data, tuning), np.random.default_rng([tuning.seed, 4])
    size = min(tuning.batch_size, len(data.targets))
    for step in range(batches):
        chosen = generator.choice(len(data.targets), size, replace=False)
        factor = learning_rate_factor(step, batches, tuning.warmup)
        if not math.isfinite(tuner.learn(chosen, generator, factor, step)):
            return None
    try:
        return choosing_score(tuner.average, data).loss
    except Diverged:
        return None


def _gradients(
    job: Job, activations: AllActivations, best: Best, spans: dict[str, Span]
) -> dict[str, float | None]:
    """Return |g| / |w| of each block, mean over batches, divided by the largest; None where no number."""
    tail, data = working_copy(best.tail_at(job.backbone, 0)), step_data(job, activations, 0)
    weights, generator = torch.from_numpy(data.weights), np.random.default_rng([job.recipe.seed, 5])
    size = min(job.recipe.batch_size, len(data.targets))
    sums = dict.fromkeys(spans, 0.0)
    for _ in range(_GRADIENT_BATCHES):
        chosen = generator.choice(len(data.targets), size, replace=False)
        tail.zero_grad()
        logits = tail(pick_views(data.train, chosen, generator))
        loss = TASKS[data.task].loss(logits, torch.from_numpy(data.targets[chosen]), weights, 0.0)
        torch.autograd.backward(loss)
        for name, span in spans.items():
            sums[name] += _relative_norm(list(tail)[span.first : span.end])
    finite = {name: value for name, value in sums.items() if math.isfinite(value)}
    largest = max(finite.values(), default=0.0) or 1.0
    return {name: finite[name] / largest if name in finite else None for name in sums}


def _relative_norm(modules: Sequence[nn.Module]) -> float:
    layers = [layer for module in modules for layer in module.modules() if not isinstance(layer, _BatchNorm)]
    own = [p for layer in layers for p in layer.parameters(recurse=False) if p.grad is not None]
    gradient = math.sqrt(sum(float(p.grad.square().sum()) for p in own if p.grad is not None))
    weight = math.sqrt(sum(float(p.detach().square().sum()) for p in own))
    return gradient / weight if weight else 0.0
