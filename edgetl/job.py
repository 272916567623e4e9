"""Everything about a training that is settled before its first number: data, roles, backbone, clock."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.backbones import Backbone, create_backbone
from edgetl.backbones.network import Weights
from edgetl.dataset import Dataset
from edgetl.events import Watcher
from edgetl.recipe import Recipe
from edgetl.regularizers import with_regularizers
from edgetl.roles import halves
from edgetl.run import is_run, read_backbone
from edgetl.scoring import Score, score
from edgetl.stages import Span, plan_spans
from edgetl.task import TASKS, weigh_classes
from edgetl_runtime.errors import DatasetError, InputError
from edgetl_runtime.pictures import Picture
from edgetl_runtime.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Job:
    """A training's givens.

    choose, verify: the halves of validation, see `edgetl.roles`. weights: of the classes, (classes,).
    deadline: on the clock of `time.monotonic`.
    """

    backbone: Backbone
    preprocess: Preprocess
    dataset: Dataset
    recipe: Recipe
    choose: tuple[Picture, ...]
    verify: tuple[Picture, ...]
    weights: NDArray[np.float32]
    deadline: float
    watcher: Watcher

    def targets(self, pictures: Sequence[Picture]) -> NDArray[Any]:
        """Return what a model should answer; see `Dataset.targets`."""
        return self.dataset.targets(pictures)

    def score(self, logits: NDArray[Any], pictures: Sequence[Picture]) -> Score:
        """Score logits, (n, classes), of these pictures."""
        return score(logits, self.targets(pictures), TASKS[self.dataset.task], self.weights)

    @property
    def from_scratch(self) -> bool:
        """Whether random weights are trained as a whole, rather than some of them kept."""
        return self.recipe.weights == "none" and not isinstance(self.recipe.unfreeze, tuple)

    def spans(self) -> tuple[Span, ...]:
        """Return what each step trains."""
        if self.from_scratch:
            return (Span(0, len(self.backbone.stages)),)
        return plan_spans(self.backbone, self.recipe.unfreeze)

    def step_name(self, span: Span) -> str:
        """Name a step by what it trains."""
        return "from scratch" if self.from_scratch else span.name(len(self.backbone.stages))

    def seconds_left(self) -> float:
        """Return what is left of the time budget, negative when it is overdrawn."""
        return self.deadline - time.monotonic()


def prepare(dataset: Dataset, recipe: Recipe, watcher: Watcher, deadline: float | None = None) -> Job:
    """Make the backbone and settle everything else.

    Args:
        deadline: on the clock of `time.monotonic`; None starts the recipe's time budget now.

    Raises:
        InputError: the backbone cannot be had, or not at this size, or costs too much; or validation is a
            single picture.
    """
    choose, verify = halves_of(dataset)
    torch.manual_seed(recipe.seed)
    watcher.phase("backbone")
    deadline = time.monotonic() + recipe.time_budget_s if deadline is None else deadline
    backbone = _backbone(recipe).with_input(recipe.size, recipe.crop)
    _refuse_cost(backbone, len(dataset.classes), recipe)
    targets, classes = dataset.targets(dataset.train), len(dataset.classes)
    return Job(
        backbone=backbone,
        preprocess=backbone.native.preprocess(),
        dataset=dataset,
        recipe=with_regularizers(recipe, len(dataset.train), classes),
        choose=choose,
        verify=verify,
        weights=weigh_classes(dataset.task, targets, classes, recipe.class_weights),
        deadline=deadline,
        watcher=watcher,
    )


def halves_of(dataset: Dataset) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Return the choosing and the verifying pictures of a dataset.

    Raises:
        DatasetError: there are none to verify by, since validation is a single picture.
    """
    choose, verify = halves(dataset.val)
    if not verify:
        raise DatasetError(
            f"{dataset.root} has one picture for validation, too few to choose by and to verify by another. "
            "Add pictures, or give more of them the split val."
        )
    return choose, verify


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Round numbers next to zero to zero meanwhile: gradients of dead channels are slow, and mean nothing."""
    were_flushed = bool(torch.tensor(1e-310, dtype=torch.float64) * 1 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_flushed)


def _refuse_cost(backbone: Backbone, classes: int, recipe: Recipe) -> None:
    """Hold a backbone against the recipe's limits; it is measured only where there are any."""
    if recipe.max_latency_ms is None and recipe.max_size_mb is None:
        return
    from edgetl.cost import Limits, find_cost  # Loads what exports.

    limits = Limits(recipe.max_latency_ms, recipe.max_size_mb)
    if reason := limits.why_not(find_cost(backbone, classes)):
        raise InputError(
            f"The backbone {backbone.name!r} is beyond a limit here: {reason}. Name a smaller --backbone, or "
            "auto, or raise --max-latency-ms or --max-size-mb."
        )


def _backbone(recipe: Recipe) -> Backbone:
    if is_run(recipe.backbone):
        if recipe.weights != "default":
            raise InputError(f"The run {recipe.backbone!r} brings its own weights. Leave --weights out.")
        return read_backbone(Path(recipe.backbone))
    named: dict[str, Weights] = {"default": "default", "none": "none"}
    weights = named.get(recipe.weights, Path(recipe.weights))
    return create_backbone(recipe.backbone, weights=weights, seed=recipe.seed)
