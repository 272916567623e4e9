"""What this machine has, and how many minutes each way of training would take on it."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgetl.advise.request import Request
from edgetl.backbones import Backbone
from edgetl.decoded import decoded
from edgetl.device import best_device
from edgetl.forward import BATCH, best_forward, fast_precision, open_forward
from edgetl.frozen import FrozenStages
from edgetl.schedule import derive_epochs
from edgetl.stages import derive_steps
from edgetl.tail import seconds_per_picture, tail_from
from edgetl.views import training_views
from edgetl_runtime.environment import read_environment
from edgetl_runtime.pictures import Picture
from edgetl_runtime.remembered import cache_folder
from edgetl_runtime.strict_json import MAX_INTEGER
from edgetl_runtime.surroundings import free_memory

_TIMED_PICTURES = 8 * BATCH
_FEWEST_EPOCHS = 3  # What a training shortens a step to before it leaves it out.
# Solving the head over its grid of penalties: seconds for each row, feature and class, within a factor of two
# for 2 to 90 classes and up to 12,000 rows of EfficientNet-Lite0's features on a core with AVX-512.
_SOLVE_S = 3e-8


@dataclass(frozen=True, slots=True)
class Resources:
    """The machine and what it makes of this task.

    memory_bytes: that can still be had; all there is where the system does not tell. disk_bytes: free where
    the cache lies, at most 2^53 as JSON has it: a cloud's share reports 8 EiB. accelerator: a GPU's name or
    the empty text. pictures_per_s: of feature extraction, decoding included. minutes: by approach, extraction
    included. budget_minutes: what was allowed.
    """

    cores: int
    memory_bytes: int
    disk_bytes: int
    accelerator: str
    pictures_per_s: float
    minutes: dict[str, float]
    budget_minutes: float


@dataclass(frozen=True, slots=True)
class Speeds:
    """Measured seconds for a picture.

    extract: through the frozen network. train: forward and back through the last stages, by their number.
    solve: in the head's problem, which is not measured but estimated.
    """

    extract: float
    train: dict[int, float]
    solve: float


def measure_speeds(backbone: Backbone, pictures: Sequence[Picture], classes: int) -> Speeds:
    """Time the extraction of a few pictures, as a training does it, and a step on made-up activations."""
    stages = len(backbone.stages)
    sizes = [sum(p.numel() for p in stage.module.parameters()) for stage in backbone.stages]
    cuts = sorted(stages - count for count in derive_steps(sizes))
    *shapes, _ = FrozenStages(backbone, cuts).shapes(backbone.native.size)
    train = {
        stages - cut: _train_seconds(backbone, cut, shape) for cut, shape in zip(cuts, shapes, strict=True)
    }
    return Speeds(_extract_seconds(backbone, pictures), train, _SOLVE_S * backbone.width * classes)


def predict_minutes(
    speeds: Speeds, train: int, val: int, *, views: int = 2, epochs: int | None = None
) -> dict[str, float]:
    """Predict the minutes of each approach from speeds and the numbers of pictures.

    epochs: of each step; None takes what a training derives, which is more from scratch.

    A step costs the same whether it trains the first stages or all: what is frozen behind trained ones is
    gone through both ways all the same, and tuning from the input takes both steps. `first step` is the least
    that staged tuning takes: its first step, shortened.
    """
    head = (train * views + val) * speeds.extract + train * views * speeds.solve
    pictures = train * (epochs or derive_epochs(train))
    everything = max(speeds.train.values(), default=0.0)
    full, scratch = (train * (epochs or derive_epochs(train, one)) * everything for one in (False, True))
    staged = pictures * sum(speeds.train.values())
    shortest = min(epochs or _FEWEST_EPOCHS, derive_epochs(train))
    first = train * shortest * min(speeds.train.values(), default=0.0)
    seconds = {
        "first step": head + first,
        "head": head,
        "staged": head + staged,
        "full": head + full,
        "input": head + 2 * full,
        "scratch": head + scratch,
    }
    return {name: value / 60 for name, value in seconds.items()}


def resources(speeds: Speeds, train: int, val: int, request: Request) -> Resources:
    """Describe the machine and what it makes of so many pictures for training and validation."""
    recipe = request.recipe()
    views = len(training_views(recipe))
    folder = cache_folder()
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return Resources(
        cores=read_environment().cores,
        memory_bytes=_memory_bytes(),
        disk_bytes=min(shutil.disk_usage(place).free, MAX_INTEGER),
        accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        pictures_per_s=1 / speeds.extract,
        minutes=predict_minutes(speeds, train, val, views=views, epochs=recipe.epochs),
        budget_minutes=request.time_budget_s / 60,
    )


def _memory_bytes() -> int:
    free = free_memory()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if free is None else free


def _extract_seconds(backbone: Backbone, pictures: Sequence[Picture]) -> float:
    name, size = best_forward(), backbone.native.size
    run = open_forward(name, FrozenStages(backbone, ()).eval(), size, fast_precision(name))
    run.start([np.zeros((BATCH, size, size, 3), np.uint8)] * 2)()  # The first run allocates.
    chosen = [pictures[i % len(pictures)] for i in range(_TIMED_PICTURES)]
    begun = time.perf_counter()
    # An empty folder: pixels that this advice has kept would come in no time.
    with tempfile.TemporaryDirectory() as empty:
        batches = decoded(Path(empty), backbone.native.preprocess(), chosen, room=0)
        pending = [run.start([images]) for _, images in batches]
    for wait in pending:
        wait()
    return (time.perf_counter() - begun) / len(chosen)


def _train_seconds(backbone: Backbone, cut: int, shape: Sequence[int]) -> float:
    return seconds_per_picture(
        tail_from(backbone, cut, nn.Linear(backbone.width, 2)), shape, device=best_device()
    )
