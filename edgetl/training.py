"""A training from end to end: one backbone, or several until a target is reached, and the run that is left.

Reads top to bottom as the user sees it. Each part is in the file it is named after; this one only decides
what comes next, and keeps the best so far whatever happens.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgetl.attempt import Outcome, begin, go_on
from edgetl.checkpoint import checkpoint_folder, forget
from edgetl.dataset import Dataset, check_names
from edgetl.events import Watcher
from edgetl.job import flushed_denormals, prepare
from edgetl.logs import GrowingLogs
from edgetl.outcome import describe, write_outcome
from edgetl.pursuit import Attempt, ending, next_recipe, reached
from edgetl.recipe import Recipe, Unfreeze
from edgetl.run import FACTS, Run, read_run
from edgetl.schedule import read_json, training_facts
from edgetl.scoring import compare
from edgetl_runtime import atomic
from edgetl_runtime.atomic import replacing_folder, write_json
from edgetl_runtime.errors import InputError

# Beside the checkpoints of an interrupted run: what it is a training of.
_TRAINING = "training.json"
# In nats: by so much the loss of the same weights may differ where a GPU adds in another order.
_ROUNDING = 1e-4


@flushed_denormals()
def train(
    dataset: Dataset,
    recipe: Recipe,
    out: Path,
    watcher: Watcher | None = None,
    *,
    source: Path | None = None,
    advice: Mapping[str, Any] | None = None,
    others: Unfreeze | None = None,
) -> Run:
    """Fine-tune a backbone on a dataset and leave a run.

    A training that was killed goes on where it was when the same call is made again. Ctrl-C writes the best
    so far, `Run.interrupted` says so, and the same call goes on from there as well; before there is a first
    result it is raised again.

    Args:
        out: the run's folder; must not exist, unless it is a run of this training that Ctrl-C interrupted.
        source: what `load_dataset` was given, for the record: export reads the pictures there again.
        advice: where the recipe comes from, for the record.
        others: what other backbones tune for a target, where the recipe's own stages were planned for its
            backbone alone; None takes the recipe's.

    Raises:
        InputError: `out` exists, or is an interrupted run of another training, or cannot be made; the
            backbone cannot be had, the disk is full.
    """
    refuse_place(out, training_facts(dataset, recipe))
    check_names(dataset)
    pursuit = Pursuit(dataset, recipe, checkpoint_folder(out), watcher or Watcher(), others)
    interrupted = False
    try:
        pursuit.run()
    except KeyboardInterrupt:
        if pursuit.best is None:
            raise
        interrupted = True
        pursuit.watcher.note("Interrupted: the best so far is kept, and the same command goes on.")
    best = pursuit.best
    assert best is not None
    if _goes_on(out) and _is_better(there := read_run(out), best):
        return there if interrupted else _ended(out, there, pursuit.watcher)
    origin = out.name, source or dataset.root
    search = pursuit.facts() | {"advice": dict(advice or {})}
    logits = best.verify_logits()
    run = describe(best, origin, logits, interrupted, search)
    if interrupted:  # First, so that no run stands beside the facts of another training.
        write_json(checkpoint_folder(out) / _TRAINING, training_facts(dataset, recipe))
    with replacing_folder(out, overwrite=_goes_on(out)) as folder:
        write_outcome(folder, run, best, logits)
    if not interrupted:
        forget(out)
    return run


class Pursuit:
    """The attempts of a training, one after another, and the best of them."""

    def __init__(
        self, dataset: Dataset, recipe: Recipe, folder: Path, watcher: Watcher, others: Unfreeze | None = None
    ) -> None:
        self.watcher = watcher
        self.best: Outcome | None = None
        self._dataset, self._recipe, self._folder = dataset, recipe, folder
        self._others = recipe if others is None else replace(recipe, unfreeze=others)
        self._tried: list[Attempt] = []

    def run(self) -> None:
        """Try what the recipe names, then, for a target, what is next until it is reached."""
        deadline = time.monotonic() + self._recipe.time_budget_s
        following: tuple[Recipe, str] | None = self._recipe, "the recipe's own"
        while following is not None:
            recipe, reason = following
            self._try(recipe, reason, deadline)
            following = next_recipe(self._others, self._tried, deadline - time.monotonic())
            if following is not None:
                self.watcher.note(f"Next: {following[0].backbone}; {following[1]}.")
        if told := ending(self._recipe, self._tried, deadline - time.monotonic()):
            self.watcher.note(told)

    def _try(self, recipe: Recipe, reason: str, deadline: float) -> None:
        begun, known, failed = time.monotonic(), self.best, ""
        outcome: Outcome | None = None
        folder = self._folder / f"attempt-{len(self._tried) + 1}"
        logs = GrowingLogs(self.watcher, folder / "logs")
        try:
            outcome = begin(prepare(self._dataset, recipe, logs, deadline), folder)
            self.best = _better(known, outcome)  # From here on, Ctrl-C keeps a result.
            go_on(outcome)
        except InputError as error:
            if known is None:
                raise
            # What is known already is not lost for what follows, such as weights that are not here.
            failed = str(error)
            how = "cannot be tried" if outcome is None else "was not tried to its end"
            self.watcher.note(f"{recipe.backbone} {how}: {error}")
        finally:  # Ctrl-C as well meets an outcome that has grown since its head.
            logs.close()
            if outcome is not None:
                self.best = _better(known, outcome)
            if outcome is not None or failed:
                self._tried.append(_attempt(recipe, outcome, time.monotonic() - begun, (reason, failed)))

    def facts(self) -> dict[str, Any]:
        """Give the attempts, and of the best one its probes and left out steps, as JSON can hold them."""
        probes, left_out = (self.best.probes, self.best.left_out) if self.best else ((), {})
        return {
            "attempts": [asdict(one) for one in self._tried],
            "probes": [asdict(one) for one in probes],
            "left_out": left_out,
        }


def refuse_place(out: Path, known: Mapping[str, Any] | None = None) -> None:
    """Refuse a place where no run can be written and none goes on; see `atomic.refuse_place`.

    Args:
        known: those of the `training_facts` of what will be trained that are known already.

    Raises:
        InputError: besides, a run is there that Ctrl-C interrupted, and it is of another training.
    """
    if not _goes_on(out):
        atomic.refuse_place(out)
        return
    there = read_json(checkpoint_folder(out) / _TRAINING)
    if other := [name for name, value in (known or {}).items() if there.get(name) != value]:
        raise InputError(
            f"{str(out)!r} is what Ctrl-C left of another training, whose {', '.join(other)} differ. Repeat "
            "that one's command to go on with it; for this one choose another --out, or remove it."
        )


def _goes_on(out: Path) -> bool:
    """Tell whether a run is there that Ctrl-C interrupted and whose checkpoints are still here."""
    kept = (out / FACTS).is_file() and (checkpoint_folder(out) / _TRAINING).is_file()
    return kept and read_run(out).interrupted


def _is_better(there: Run, found: Outcome) -> bool:
    """Tell whether a run of this training has a lower loss on the choosing half than what was found since.

    A run that misses the target is not better than what reaches it.
    """
    kept = [step for step in there.steps if step["kept"]]
    best = min(kept, key=lambda step: float(step["validation_loss"]))
    reaches = reached(best["accuracy"], found.job.recipe.target_accuracy)
    gain = float(found.best.score.loss - best["validation_loss"])
    return gain > _ROUNDING and (reaches or not found.done)


def _ended(out: Path, there: Run, watcher: Watcher) -> Run:
    """Leave the run that Ctrl-C wrote as that of the whole training."""
    watcher.note("The run that Ctrl-C left is better than what this time budget gave, and stays.")
    write_json(out / FACTS, read_json(out / FACTS) | {"interrupted": False})
    forget(out)
    return replace(there, interrupted=False)


def _attempt(recipe: Recipe, outcome: Outcome | None, seconds: float, told: tuple[str, str]) -> Attempt:
    score, (reason, failed) = outcome.best.score if outcome else None, told
    accuracy, loss = (score.accuracy, score.loss) if score else (None, None)
    return Attempt(recipe.backbone, recipe.weights, accuracy, loss, seconds, reason, failed)


def _better(known: Outcome | None, outcome: Outcome) -> Outcome:
    """Return the better of two attempts by the choosing half: one that reaches the target, else the loss."""
    if known is None or outcome.done:
        return outcome
    return outcome if compare(known.best.score, outcome.best.score).keep else known
