"""A training of the head alone beside the bare passes that it cannot do without; part of `make bench`.

Bare: the pictures are decoded one after another and run through the same compiled network, as often as the
training has copies of them, and nothing is kept. Both begin in a process that has its libraries loaded; the
command as it is typed is timed beside them.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.caches import empty_cache
from benchmarks.targets import Row
from edgetl.backbones import create_backbone
from edgetl.dataset import Dataset, load_dataset
from edgetl.forward import BATCH, fast_precision, open_forward
from edgetl.frozen import FrozenStages
from edgetl.recipe import Recipe
from edgetl.training import train
from edgetl.views import training_views
from edgetl_runtime.pictures import Picture

_ROUNDS = 3
_RECIPE = Recipe(unfreeze=())


def measure(csv: Path) -> dict[str, Any]:
    """Return seconds of the bare passes, of the training and of the command, and their ratio."""
    dataset = load_dataset(csv)
    copies = len(training_views(_RECIPE))
    passes = [*dataset.train * copies, *dataset.val]
    times: dict[str, list[float]] = {}
    for _ in range(_ROUNDS):
        for name, seconds in (
            ("bare passes", _bare(passes)),
            ("training", _training(dataset)),
            ("command", _command(csv)),
        ):
            times.setdefault(name, []).append(seconds)
    ratios = [ours / bare for ours, bare in zip(times["training"], times["bare passes"], strict=True)]
    row = Row("head-only training over bare passes", round(median(ratios), 2), 2, "times")
    return {
        "pictures passed": len(passes),
        "seconds": {name: round(median(found), 1) for name, found in times.items()},
        "targets": [row.facts()],
    }


def _bare(pictures: Sequence[Picture]) -> float:
    begun = perf_counter()
    backbone = create_backbone(_RECIPE.backbone)
    preprocess = backbone.native.preprocess()
    forward = open_forward(
        "openvino", FrozenStages(backbone, ()).eval(), preprocess.size, fast_precision("openvino")
    )
    pending = None
    for start in range(0, len(pictures), BATCH):
        pixels = np.stack([preprocess(one.path) for one in pictures[start : start + BATCH]])
        before, pending = pending, forward.start([pixels])
        if before is not None:
            before()
    if pending is not None:
        pending()
    return perf_counter() - begun


def _training(dataset: Dataset) -> float:
    with TemporaryDirectory() as folder, empty_cache():
        begun = perf_counter()
        train(dataset, _RECIPE, Path(folder) / "run")
        return perf_counter() - begun


def _command(csv: Path) -> float:
    with TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "edgetl",
            "train",
            str(csv),
            "--out",
            f"{folder}/run",
            "--unfreeze",
            "0",
        ]
        begun = perf_counter()
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"EDGETL_CACHE": f"{folder}/cache"},
        )
        return perf_counter() - begun
