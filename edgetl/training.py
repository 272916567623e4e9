"""A training from end to end: frozen features once, the head solved, then more stages as long as they help.

Reads top to bottom as the user sees it. Each part is in the file it is named after; this one only decides
what comes next, and keeps the best so far whatever happens.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.checkpoint import checkpoint_folder, forget
from edgetl.curve import write_curve
from edgetl.dataset import Dataset, check_names, write_csv
from edgetl.events import Step, Watcher
from edgetl.features import PLAIN, VIEWS, Extractor, fast_precision
from edgetl.finetune import run_tail
from edgetl.job import Job, flushed_denormals, prepare
from edgetl.recipe import Recipe
from edgetl.run import SPLITS, Run, environment_facts, write_predictions, write_run
from edgetl.steps import AllActivations, Best, keep_plan, make_plan, solve, tail_from, take_step
from edgetl.task import TASKS
from edgetl_runtime.atomic import replacing_folder
from edgetl_runtime.errors import InputError
from edgetl_runtime.metrics import figures


@flushed_denormals()
def train(
    dataset: Dataset,
    recipe: Recipe,
    out: Path,
    watcher: Watcher | None = None,
    *,
    source: Path | None = None,
) -> Run:
    """Fine-tune a backbone on a dataset and leave a run.

    A training that was killed goes on where it was when the same call is made again. Ctrl-C writes the best
    so far, and `Run.interrupted` says so; before there is a first result it is raised again.

    Args:
        out: the run's folder; must not exist.
        source: what `load_dataset` was given, for the record: export reads the pictures there again.

    Raises:
        InputError: `out` exists or cannot be made, the backbone cannot be had, the disk is full.
    """
    refuse_place(out)
    check_names(dataset)
    job, aside = prepare(dataset, recipe, watcher or Watcher()), checkpoint_folder(out)
    plan = make_plan(job, aside)
    activations = _extract(job, plan.cuts(job))
    job.watcher.phase("head")
    best, solved = solve(job, activations)
    job.watcher.step(solved)
    steps = [solved]
    interrupted = False
    try:
        keep_plan(plan, aside)
        _take_steps(job, activations, best, steps, aside)
    except KeyboardInterrupt:
        interrupted = True
        job.watcher.note("Interrupted: the best so far is kept.")
    logits = verify_logits(job, activations, best)
    run = _describe(job, (out.name, source or dataset.root), best, steps, logits, interrupted)
    with replacing_folder(out) as folder:
        write_run(folder, run, job.backbone, best.head)
        write_csv(dataset, folder / SPLITS)
        write_predictions(folder, job.verify, job.dataset.classes, _answers(job, best, logits))
        write_curve(folder / "learning_curve.svg", steps)
    forget(out)
    return run


def refuse_place(out: Path) -> None:
    """Refuse a place where no run can be written, before any work.

    Raises:
        InputError: it exists already, or the folder above may not be written.
    """
    if os.path.lexists(out):
        raise InputError(f"{str(out)!r} exists already. Choose another --out, or remove it.")
    above = next(parent for parent in out.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"Nothing can be written in {str(above)!r}. Choose another --out.")


def _extract(job: Job, cuts: Sequence[int]) -> AllActivations:
    """Run the frozen stages over training pictures (fast precision) and validation pictures (f32).

    What chooses and verifies must not carry bf16's rounding; what is trained on may.
    """
    train, val = job.dataset.train, job.dataset.val
    precision = fast_precision()
    fast = Extractor(job.backbone, job.preprocess, cuts, precision)
    exact = Extractor(job.backbone, job.preprocess, cuts, "f32")
    views = VIEWS[job.recipe.views]
    job.watcher.phase(f"features to train on, {precision}")
    found = {"train": fast(train, views, job.watcher.progress)}
    job.watcher.phase("features to choose by, f32")
    exact(val, (PLAIN,), job.watcher.progress)
    return found | {"choose": exact(job.choose, (PLAIN,)), "verify": exact(job.verify, (PLAIN,))}


def _take_steps(job: Job, activations: AllActivations, best: Best, steps: list[Step], folder: Path) -> None:
    """Go on toward the input, each step from the best so far, as long as the next one is affordable."""
    for count in job.steps():
        if len(job.backbone.stages) - count not in activations["train"].boundaries:
            continue
        step = take_step(job, activations, best, count, folder)
        if step is None:
            return
        steps.append(step)
        job.watcher.step(step)


def verify_logits(job: Job, activations: AllActivations, best: Best) -> NDArray[np.float32]:
    """Return the logits of the verifying pictures, (n, classes)."""
    cut = len(job.backbone.stages) - best.trained
    verify = activations["verify"]
    rows = verify.boundaries[cut][0] if best.trained else verify.features[0]
    return run_tail(tail_from(job.backbone, cut, best.head), rows)


def _answers(job: Job, best: Best, logits: NDArray[np.float32]) -> NDArray[Any]:
    return TASKS[job.dataset.task].probabilities(logits / best.score.temperature)


def _describe(
    job: Job,
    origin: tuple[str, Path],
    best: Best,
    steps: Sequence[Step],
    logits: NDArray[np.float32],
    interrupted: bool,
) -> Run:
    name, source = origin
    dataset, backbone, rules = job.dataset, job.backbone, TASKS[job.dataset.task]
    probabilities = _answers(job, best, logits)
    found = figures(
        dataset.task,
        dataset.classes,
        rules.hard(job.targets(job.verify)),
        rules.decide(logits),
        probabilities,
    )
    counts = {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)}
    return Run(
        name=name,
        task=dataset.task,
        classes=dataset.classes,
        backbone=backbone.name,
        width=backbone.width,
        preprocess=job.preprocess,
        mean=backbone.native.mean,
        std=backbone.native.std,
        temperature=best.score.temperature,
        licence=backbone.licence,
        dataset={"path": str(source.resolve()), "fingerprint": dataset.fingerprint, "counts": counts},
        recipe=job.recipe.to_json(),
        steps=tuple(asdict(step) for step in steps),
        figures={figure.name: asdict(figure) for figure in found.values()},
        environment=environment_facts(),
        interrupted=interrupted,
    )
