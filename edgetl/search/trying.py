"""One trial from its cost to its run: what costs too much is not trained, and only the best heads are tuned.

A trial has two rungs. The first is the solved head on frozen features: every trial is a model from there on.
The second is the recipe's tuning, for the best share of the heads known so far.
"""

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgetl.checkpoint import checkpoint_folder
from edgetl.cost import Cost
from edgetl.recipe import Recipe
from edgetl.roles import halves
from edgetl.run import FACTS, Run, read_run
from edgetl.search.front import REDUCTION, Point, promoted
from edgetl.search.ground import Ground
from edgetl.search.pricing import price
from edgetl.search.study import Study
from edgetl.search.trials import Trial, ancestors, heads
from edgetl.search.worker import is_dead
from edgetl.training import train
from edgetl_runtime.errors import InputError
from edgetl_runtime.statistics import wilson


def try_out(ground: Ground, study: Study, trial: Trial) -> None:
    """Take a trial that this process has begun to its end.

    Raises:
        InputError: it cannot be tried here. KeyboardInterrupt: as soon as what is done so far is kept.
    """
    number, asked, clock = trial.number, ground.asked, _Clock()
    _inherit(ground, study, trial)
    ground.watcher.phase("cost")
    cost, stages = price(ground, trial.configuration)
    study.record(number, "cost", asdict(cost))
    if reason := asked.limits.why_not(cost):
        study.give_up(number, "refused", reason)
        ground.watcher.note(f"Trial {number} is not trained: {reason}.")
        return
    run = _trained(ground, study, trial, (cost, stages))
    for name, value in _facts(ground, run).items():
        study.record(number, name, value)
    study.record(number, "folder", str(ground.folder(number).resolve()))
    study.record(number, "took", clock.read())
    study.complete(number, _point(_last(run), cost))


class _Clock:
    """What has passed since it was made, of time and of this process's."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return seconds."""
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        return {"seconds": round(wall, 3), "processor_s": round(processor, 3)}


def _trained(ground: Ground, study: Study, trial: Trial, priced: tuple[Cost, int]) -> Run:
    """Climb the rungs, from where a lost trial stood."""
    (cost, stages), folder = priced, ground.folder(trial.number)
    if kept := _kept(folder / "run"):
        study.record(trial.number, "head", _point(kept.steps[0], cost).values())
        return kept
    head_place = folder / "head" / "run"
    recipe = ground.asked.recipe(trial.configuration, ground.seconds_left())
    head = _kept(head_place) or _train(ground, recipe, head_place)
    mine = _point(head.steps[0], cost)
    study.record(trial.number, "head", mine.values())
    if not promoted(mine, heads(study.trials(), trial.number)):
        ground.watcher.note(f"Trial {trial.number} stays with its head, accuracy {mine.accuracy:.3f}.")
        head_place.rename(folder / "run")
        return head
    ground.watcher.note(f"Trial {trial.number} is tuned; its head has accuracy {mine.accuracy:.3f}.")
    recipe = ground.asked.recipe(trial.configuration, _share(ground), stages)
    return _train(ground, recipe, folder / "run")


def _share(ground: Ground) -> float:
    """Return the seconds that a tuning may take: the budget, shared by those that will be tuned."""
    tuned = max(1, round(ground.asked.trials / REDUCTION))
    return min(ground.seconds_left(), ground.asked.time_budget_s / tuned)


def _train(ground: Ground, recipe: Recipe, place: Path) -> Run:
    if place.exists() and not checkpoint_folder(place).is_dir():
        shutil.rmtree(place)  # It was interrupted before its first checkpoint.
    place.parent.mkdir(parents=True, exist_ok=True)
    run = train(ground.dataset, recipe, place, ground.watcher, source=ground.source)
    if run.interrupted:
        raise KeyboardInterrupt
    return run


def _kept(place: Path) -> Run | None:
    """Return a run that is finished and still there."""
    if not (place / FACTS).is_file():
        return None
    run = read_run(place)
    return None if run.interrupted else run


def _inherit(ground: Ground, study: Study, trial: Trial) -> None:
    """Take over what a lost trial of the same configuration has left in this folder."""
    mine = ground.folder(trial.number)
    if mine.exists():
        raise InputError(
            f"{str(mine)!r} is there before trial {trial.number} is: it belongs to a study whose database is "
            "gone. Choose another --out, or remove it."
        )
    for lost in ancestors(trial, study.trials()):
        if ground.folder(lost.number).is_dir() and is_dead(ground.out, lost.worker):
            ground.folder(lost.number).rename(mine)
            ground.watcher.note(f"Trial {trial.number} goes on where trial {lost.number} was.")
            return


def _facts(ground: Ground, run: Run) -> dict[str, Any]:
    """Return what is worth telling of a run."""
    last, n = _last(run), len(halves(ground.dataset.val)[0])
    accuracy = last["accuracy"]
    interval = wilson(accuracy * n, n)
    figure = next(iter(run.figures.values()))
    return {
        "step": last["name"],
        "tuned": len(run.steps) > 1,
        "chosen": {"value": accuracy, "low": interval.low, "high": interval.high, "n": n},
        "verified": {name: figure[name] for name in ("name", "value", "low", "high", "n")},
    }


def _last(run: Run) -> Any:
    return [step for step in run.steps if step["kept"]][-1]


def _point(step: Any, cost: Cost) -> Point:
    return Point(step["accuracy"], cost.p50_ms, cost.size_bytes / 1e6)
