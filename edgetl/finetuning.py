"""From a folder of pictures to a run, in one call: `edgetl train`, and Python with the same words."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgetl.advise.follow import advised
from edgetl.checkpoint import checkpoint_folder
from edgetl.dataset import load_dataset
from edgetl.events import Watcher
from edgetl.ranks import together
from edgetl.recipe import Recipe, check_keys
from edgetl.run import Run
from edgetl.training import refuse_place, train


def finetune(data: Path | str, out: Path | str, *, watcher: Watcher | None = None, **recipe: Any) -> Run:
    """Fine-tune a backbone on a folder, a CSV file or tars of pictures and leave a run.

    Does what `edgetl train DATA --out OUT` does, with the same words: every keyword is a field of `Recipe`.
    `--max-unreadable` and `--ray` are of the command alone.
    In a script that torchrun starts, all ranks train together and each of them gets the run's facts.

    >>> run = edgetl.finetune("photos", "run", backbone="auto", time_budget_s=300)  # doctest: +SKIP

    Args:
        data: a folder of class folders, with or without train, val and test above them, or a CSV file with
            the columns path, label and, if given, split.
        out: the run's folder, to be made.
        watcher: hears of phases, epochs and steps.
        recipe: settings; what is not named keeps its default.

    Returns:
        The facts of the run: classes, figures with their intervals, and every step that was tried.

    Raises:
        InputError: a setting is unknown or out of range, the pictures cannot be used, or `train` refuses.
    """
    settings = Recipe(**check_keys(recipe, "edgetl.finetune"))
    return together(lambda: finetune_as(settings, set(recipe), Path(data), Path(out), watcher=watcher))


def finetune_as(
    recipe: Recipe,
    named: Collection[str],
    data: Path,
    out: Path,
    *,
    watcher: Watcher | None = None,
    max_unreadable: float = 0.05,
) -> Run:
    """Load the pictures, take advice where the backbone is left open, and train.

    Args:
        named: the settings that the user has given; they win over the advice.
        max_unreadable: the share of pictures that may be left out.
    """
    refuse_place(out)
    watcher = watcher or Watcher()
    watcher.phase("pictures")
    dataset = load_dataset(data, max_unreadable=max_unreadable, progress=watcher.progress)
    for line in dataset.notes():
        watcher.note(line)
    refuse_place(out, {"pictures": dataset.split_fingerprint})  # Before the advice, which takes minutes.
    followed, advice = advised(dataset, recipe, named, checkpoint_folder(out), watcher)
    return train(dataset, followed, out, watcher, source=data, advice=advice or None, others=recipe.unfreeze)
