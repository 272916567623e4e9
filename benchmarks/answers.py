"""What a trained run says of test pictures, without the time that eager torch would take for ten thousand."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import torch

from benchmarks.cells import Answers
from edgetl.dataset import Dataset
from edgetl.forward import BATCH, open_forward
from edgetl.frozen import FrozenStages
from edgetl.recipe import Recipe
from edgetl.run import read_backbone, read_head, read_run
from edgetl.training import train
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture


def train_cell(dataset: Dataset, recipe: Recipe, name: str, seed: int, method: str) -> None:
    """Train in this process, let the run answer the test pictures, and write the cell.

    Raises:
        InputError: the time budget leaves no room for a step, so that the answers would be the head's.
    """
    with TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        begun, cpu = perf_counter(), process_time()
        run = train(dataset, recipe, place)
        seconds, cpu_seconds = perf_counter() - begun, process_time() - cpu
        if recipe.unfreeze != () and len(run.steps) == 1:
            raise InputError(f"{name}, {method}: no step fits into {recipe.time_budget_s:.0f} s, allow more.")
        answers = answers_of(place, dataset.test)
    answers.cell(name, seed, method, seconds=seconds, cpu_seconds=cpu_seconds).write()


def answers_of(run_folder: Path, pictures: Sequence[Picture]) -> Answers:
    """Let all stages run in OpenVINO, f32, and the head in torch; pictures preprocessed as on a device."""
    run, backbone, head = read_run(run_folder), read_backbone(run_folder), read_head(run_folder)
    stages = FrozenStages(backbone, ()).eval()
    forward = open_forward("openvino", stages, run.preprocess.size, "f32")
    parts = []
    with torch.no_grad():
        for start in range(0, len(pictures), BATCH):
            pixels = np.stack([run.preprocess(one.path) for one in pictures[start : start + BATCH]])
            ((features,),) = forward.start([pixels])()
            parts.append(torch.softmax(head(torch.from_numpy(features)), 1).numpy())
    return Answers(
        paths=[str(one.path) for one in pictures],
        targets=[run.classes.index(one.labels[0]) for one in pictures],
        probabilities=np.concatenate(parts),
    )
