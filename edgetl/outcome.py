"""What a training found, as the facts and files of a run."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.attempt import Outcome
from edgetl.confusion import write_confusion
from edgetl.curve import write_curve
from edgetl.dataset import write_csv
from edgetl.logs import write_events, write_metrics
from edgetl.recipe import Recipe
from edgetl.run import SPLITS, Run, environment_facts, write_predictions, write_run
from edgetl.task import TASKS
from edgetl_runtime.metrics import figures
from edgetl_runtime.strict_json import well_formed

RECIPE = "recipe.toml"


def describe(
    outcome: Outcome,
    origin: tuple[str, Path],
    logits: NDArray[np.float32],
    interrupted: bool,
    search: Mapping[str, Any],
) -> Run:
    """Say in a run's words what was found; origin: the run's name and the data's path."""
    (name, source), job = origin, outcome.job
    dataset, backbone, rules = job.dataset, job.backbone, TASKS[job.dataset.task]
    found = figures(
        dataset.task,
        dataset.classes,
        rules.hard(job.targets(job.verify)),
        rules.decide(logits),
        _answers(outcome, logits),
    )
    counts = {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)}
    facts = {"fingerprint": dataset.fingerprint, "counts": counts, "flaws": dataset.flaws()}
    return Run(
        name=well_formed(name),
        task=dataset.task,
        classes=dataset.classes,
        backbone=backbone.name,
        width=backbone.width,
        preprocess=job.preprocess,
        mean=backbone.native.mean,
        std=backbone.native.std,
        temperature=outcome.best.score.temperature,
        licence=backbone.licence,
        dataset={"path": well_formed(str(source.absolute()))} | facts,
        recipe=job.recipe.to_json(),
        steps=tuple(asdict(step) for step in outcome.steps),
        figures={figure.name: asdict(figure) for figure in found.values()},
        environment=environment_facts(),
        interrupted=interrupted,
        search=search,
    )


def write_outcome(folder: Path, run: Run, outcome: Outcome, logits: NDArray[np.float32]) -> None:
    """Write everything that a run has into a folder that is being filled."""
    job = outcome.job
    outcome.best.install(job.backbone)
    write_run(folder, run, job.backbone, outcome.best.head)
    (folder / RECIPE).write_text(resolved_recipe(outcome), encoding="utf-8")
    write_csv(job.dataset, folder / SPLITS)
    write_predictions(folder, job.verify, job.dataset.classes, _answers(outcome, logits))
    write_metrics(folder / "metrics.csv", outcome.steps)
    if not write_events(folder / "tensorboard", outcome.steps):
        job.watcher.note("No TensorBoard files: pip install 'edgetl[tensorboard]' writes them.")
    write_curve(folder / "learning_curve.svg", outcome.steps)
    truth = TASKS[run.task].hard(job.targets(job.verify))
    write_confusion(folder / "confusion.svg", run.classes, truth, TASKS[run.task].decide(logits))


def resolved_recipe(outcome: Outcome) -> str:
    """Give the settings as TOML that repeats the training, and say where the clock had a hand in it."""
    lines = ["# The settings of this run. To repeat it: edgetl train DATA --recipe recipe.toml --out AGAIN"]
    lines += [f"# Not repeated by these alone: {reason}" for reason in _by_the_clock(outcome)]
    return "\n".join(lines) + "\n" + _with_precision(outcome).to_toml()


def _by_the_clock(outcome: Outcome) -> list[str]:
    left_out = [f"{name} was left out; {reason}." for name, reason in outcome.left_out.items()]
    shortened = [
        f"{step.name} had {step.tuned.planned[0]} of {step.tuned.planned[1]} epochs, for the time budget."
        for step in outcome.steps
        if step.tuned and step.tuned.planned[0] < step.tuned.planned[1]
    ]
    return left_out + shortened


def _with_precision(outcome: Outcome) -> Recipe:
    """Put what the trials of bf16 found, where all steps agree, in place of "auto"."""
    recipe = outcome.job.recipe
    found = {step.tuned.bf16 for step in outcome.steps if step.tuned}
    if recipe.precision != "auto" or len(found) != 1:
        return recipe
    return replace(recipe, precision="bf16" if found == {True} else "f32")


def _answers(outcome: Outcome, logits: NDArray[np.float32]) -> NDArray[Any]:
    return TASKS[outcome.job.dataset.task].probabilities(logits / outcome.best.score.temperature)
