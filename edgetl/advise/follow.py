"""`--backbone auto`: a recipe as the advice has it; what the user has named stays.

The advice is kept beside the training's checkpoints: a training that goes on after a kill goes on as advised,
whatever the machine measures then, and with another time budget as well.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgetl.advise.request import Request
from edgetl.cost import Limits
from edgetl.dataset import Dataset
from edgetl.events import Watcher
from edgetl.recipe import Recipe, check_keys
from edgetl_runtime.atomic import write_text

AUTO = "auto"
# What may change without making another training of one that has begun.
_MAY_CHANGE = {"time_budget_s", "target_accuracy"}
# What advice is asked for, rather than what it is given.
_ASKED = (
    "backbone",
    "weights",
    "candidates",
    "max_latency_ms",
    "max_size_mb",
    "target_accuracy",
    "time_budget_s",
    "seed",
)


def advised(
    dataset: Dataset, recipe: Recipe, named: Collection[str], folder: Path, watcher: Watcher
) -> tuple[Recipe, Mapping[str, Any]]:
    """Return the recipe to train with and the advice that it follows; a recipe that names a backbone stays.

    Args:
        named: the settings that the user has given; they win over the plan.
        folder: of the training's checkpoints.
    """
    if recipe.backbone != AUTO:
        return recipe, {}
    place = folder / f"advice-{_key(dataset, recipe, named)}.json"
    kept = _read(place)
    other_budget = kept.get("time_budget_s") != recipe.time_budget_s
    if not kept or (other_budget and not any(folder.glob("attempt-*"))):
        from edgetl.advise.advisor import give_advice  # It brings all of scikit-learn, pandas with it.

        advice = give_advice(dataset, request_of(recipe, named), watcher)
        kept = {"time_budget_s": recipe.time_budget_s, "advice": advice.to_json()}
        write_text(place, json.dumps(kept, indent=2) + "\n")
    elif other_budget:
        watcher.note(f"Goes on as advised for {kept['time_budget_s']:g} s; a fresh --out is advised anew.")
    found: Mapping[str, Any] = kept["advice"]
    plan = found["plan"]
    watcher.note(f"As advised: {plan['approach']} with {found['backbone']}. {plan['reasons'][0]}")
    return follow(recipe, found, named), found


def request_of(recipe: Recipe, named: Collection[str]) -> Request:
    """Ask for advice about the training of a recipe, as far as the user has named its settings."""
    return Request(
        backbones=recipe.candidates or (),
        limits=Limits(recipe.max_latency_ms, recipe.max_size_mb),
        time_budget_s=recipe.time_budget_s,
        seed=recipe.seed,
        settings={name: getattr(recipe, name) for name in sorted(named) if name not in _ASKED},
    )


def follow(recipe: Recipe, advice: Mapping[str, Any], named: Collection[str]) -> Recipe:
    """Take the backbone and the plan, unless the user has named a part of it: half a plan is none.

    The time that the advice took is gone from the budget. Other backbones, which a target may ask for, follow
    in the order that the advice found. For a target, stages are tuned after a planned head that misses it.
    """
    settings = check_keys(advice["plan"]["settings"], "the plan")
    planned = {} if set(settings) & set(named) else settings
    if recipe.target_accuracy is not None and planned.get("unfreeze") == ():
        planned = {}  # Every training begins with the head, and ends with it where that reaches the target.
    left = max(1.0, recipe.time_budget_s - advice["seconds"])
    chosen = advice["backbone"]
    others = [one["name"] for one in advice["candidates"] if not one["left_out"] and one["name"] != chosen]
    planned = {"candidates": tuple(others)} | planned
    return replace(recipe, **planned, backbone=chosen, time_budget_s=left)


def _key(dataset: Dataset, recipe: Recipe, named: Collection[str]) -> str:
    settings = {name: value for name, value in recipe.to_json().items() if name not in _MAY_CHANGE}
    facts = [dataset.split_fingerprint, settings, sorted(set(named) - _MAY_CHANGE)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return record
