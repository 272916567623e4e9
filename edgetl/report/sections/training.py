"""The steps of the training, how they were found and tuned, and its learning curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetl.report.curves import Panel, draw_curves
from edgetl.report.facts import Facts, Missing
from edgetl.report.history import History, read_history
from edgetl_runtime.errors import InputError
from edgetl_runtime.strict_json import brief


@dataclass(frozen=True, slots=True)
class Context:
    """The history and its drawings; unfreeze: which side was chosen where sides were probed."""

    history: History
    unfreeze: str
    panels: tuple[Panel, ...]
    figures: tuple[tuple[str, float, float, float, int], ...]
    interrupted: bool


def context(facts: Facts) -> Context | Missing:
    """Tell what was tried, step by step, and what came of it."""
    run = facts.sources.run
    if run is None:
        return Missing("give the run: edgetl report RUN …")
    history = read_history(run)
    try:
        figures = tuple(_figure(name, value) for name, value in run.figures.items())
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The run {run.name!r} has damaged figures: {brief(error)}. Train again.") from error
    unfreeze = str(run.recipe.get("unfreeze", ""))
    return Context(history, unfreeze, draw_curves(history.steps), figures, run.interrupted)


def _figure(name: str, value: Mapping[str, Any]) -> tuple[str, float, float, float, int]:
    low, middle, high = (float(value[key]) for key in ("low", "value", "high"))
    return name, middle, low, high, int(value["n"])
