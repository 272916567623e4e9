"""One backbone, tried as a whole: its features once, the head solved, then steps as long as they help."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl.cache import NoSpace
from edgetl.direction import Probe, choose_direction
from edgetl.events import Step
from edgetl.features import PLAIN, Extractor
from edgetl.forward import fast_precision
from edgetl.gap import Gap
from edgetl.job import Job
from edgetl.pursuit import reached
from edgetl.schedule import Plan, keep_plan, make_plan
from edgetl.steps import AllActivations, Best, rows_at, solve, take_step
from edgetl.tail import run_tail
from edgetl.views import training_views


@dataclass(slots=True)
class Outcome:
    """What an attempt has found so far; it grows step by step.

    folder: where its checkpoints lie. left_out: steps that time or disk forbade, with the reason.
    """

    job: Job
    folder: Path
    plan: Plan
    activations: AllActivations
    best: Best
    steps: list[Step]
    probes: tuple[Probe, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    def verify_logits(self) -> NDArray[np.float32]:
        """Return the logits of the verifying pictures, (n, classes)."""
        rows, *_ = rows_at(self.job, self.activations["verify"], self.best.cut)
        return run_tail(self.best.tail, rows)

    @property
    def done(self) -> bool:
        """Whether the target accuracy, if there is one, is reached on the choosing half."""
        return reached(self.best.score.accuracy, self.job.recipe.target_accuracy)


def begin(job: Job, folder: Path) -> Outcome:
    """Go as far as the solved head.

    The boundaries of all steps are computed on the way, in one pass over the pictures; only where a head may
    already be good enough are they left for later. A disk that is too full for them leaves the head.
    """
    job, probes = choose_direction(job, folder)
    plan = make_plan(job, folder)
    may_suffice = job.recipe.target_accuracy is not None
    cuts = [] if may_suffice else plan.cuts(job)
    activations, full = _extracted(job, cuts)
    if activations is None:
        # Nothing holds what was begun of the boundaries any more, so it may go for the small features.
        plan, activations = plan.without_steps(full, job.watcher), extract(job, ())
    job.watcher.phase("head")
    best, solved = solve(job, activations)
    _tell(job, solved)
    return Outcome(job, folder, plan, activations, best, [solved], probes, plan.reasons())


def go_on(outcome: Outcome) -> None:
    """Take the planned steps, each from the best so far, until the time is up or the target is reached."""
    job = outcome.job
    keep_plan(outcome.plan, outcome.folder)
    spans = outcome.plan.spans(job)
    if spans and not outcome.done and job.recipe.target_accuracy is not None:
        found, full = _extracted(job, outcome.plan.cuts(job))
        if found is None:
            outcome.left_out |= outcome.plan.without_steps(full, job.watcher).reasons()
            return
        outcome.activations = found
    for place, span in enumerate(spans):
        if outcome.done:
            return
        taken = take_step(job, outcome.activations, outcome.best, span, outcome.folder)
        if taken is None:
            left_out = dict.fromkeys(map(job.step_name, spans[place:]), "the time budget is used up")
            for name, reason in left_out.items():
                job.watcher.note(f"Left out: {name}; {reason}.")
            outcome.left_out |= left_out
            return
        outcome.best, step = taken
        outcome.steps.append(step)
        _tell(job, step)


def _tell(job: Job, step: Step) -> None:
    job.watcher.step(step)
    if step.gap and step.gap["overfits"]:
        job.watcher.note(f"{step.name}: {Gap(**step.gap).sentence(of_head=step.tuned is None)}")


def _extracted(job: Job, cuts: Sequence[int]) -> tuple[AllActivations | None, str]:
    """Run the frozen stages; where the disk is too full for the boundaries, give None and why."""
    if not cuts:
        return extract(job, cuts), ""
    try:
        return extract(job, cuts), ""
    except NoSpace as error:
        return None, str(error).rstrip(".")


def extract(job: Job, cuts: Sequence[int]) -> AllActivations:
    """Run the frozen stages over training pictures (fast precision) and validation pictures (f32).

    What chooses and verifies must not carry bf16's rounding; what is trained on may.
    """
    train, val = job.dataset.train, job.dataset.val
    precision = fast_precision()
    fast = Extractor(job.backbone, job.preprocess, cuts, precision)
    exact = Extractor(job.backbone, job.preprocess, cuts, "f32")
    job.watcher.phase(f"features to train on, {precision}")
    found = {"train": fast(train, training_views(job.recipe), job.watcher.progress)}
    job.watcher.phase("features to choose by, f32")
    exact(val, (PLAIN,), job.watcher.progress)
    shares = [sum(both) for both in zip(fast.shares, exact.shares, strict=True)]
    if len(shares) > 1 and any(shares):
        told = ", ".join(f"rank {rank}: {count:,}" for rank, count in enumerate(shares))
        job.watcher.note(f"Pictures computed by {told}.")
    return found | {"choose": exact(job.choose, (PLAIN,)), "verify": exact(job.verify, (PLAIN,))}
