"""From a run to a bundle: reads the run, finds its pictures again, and hands both to the exporters.

The exporters know neither runs nor scikit-learn: the module, the solver of heads and the fitting of the
temperature are handed over as callables, so that an int8 head is solved as the training solved its own.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgetl import head as heads
from edgetl.dataset import Dataset, split_dataset
from edgetl.events import Watcher
from edgetl.roles import halves
from edgetl.run import SPLITS, Run, read_module, read_run
from edgetl.scoring import fit_temperature
from edgetl.task import TASKS, class_weights
from edgetl_exporters.calibration import balanced
from edgetl_exporters.export import export
from edgetl_exporters.model import ExportData, Labelled, Model
from edgetl_exporters.pack import refuse_existing
from edgetl_exporters.report import Report
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture, index

# More pictures hardly move a head on frozen int8 features, and each costs two milliseconds or more.
MOST_TRAINING_PICTURES = 4_000
_DECODING_THREADS = 2


def export_run(
    run_folder: Path,
    out: Path,
    *,
    data: Path | None = None,
    max_drop: float = 0.01,
    on_miss: Literal["fail", "fp16"] = "fail",
    watcher: Watcher | None = None,
) -> Report:
    """Export a run to a bundle: a folder, or a zip where `out` ends in .zip.

    Args:
        data: the run's pictures, where they no longer lie where the training found them.
        max_drop: the drop of accuracy that int8 may cost, 0–1.
        on_miss: what becomes of an int8 that misses it: "fail" raises, "fp16" leaves int8 out and says so.

    Raises:
        InputError: no run, not the pictures that it was trained on, or `out` exists.
        ContractError: a promise was measured and broken; nothing is written.
    """
    watcher = watcher or Watcher()
    refuse_existing(out)
    run = read_run(run_folder)
    watcher.phase("pictures")
    dataset = _dataset(run, run_folder, data, watcher)
    module = read_module(run_folder)
    model = Model(run.name, module, run.task, run.classes, run.preprocess, run.mean, run.std, run.temperature)
    rules, weights = TASKS[run.task], _weights(run, dataset)

    def solve_head(
        train: NDArray[Any], train_targets: NDArray[Any], choose: NDArray[Any], choose_targets: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        fitted, judged = heads.Labelled(train, train_targets), heads.Labelled(choose, choose_targets)
        solved = heads.solve_head(fitted, judged, task=run.task, weights=weights)
        return solved.weight, solved.bias

    return export(
        model,
        _export_data(run, dataset, watcher),
        out,
        max_drop=max_drop,
        on_miss=on_miss,
        solve_head=solve_head,
        fit_temperature=lambda logits, targets: fit_temperature(logits, targets, rules),
        provenance=_provenance(run),
        watcher=watcher,
    )


def _dataset(run: Run, folder: Path, data: Path | None, watcher: Watcher) -> Dataset:
    """Load the pictures of the training, in its splits, or say that they are others."""
    recorded = folder / SPLITS
    source = data or (recorded if recorded.exists() else Path(run.dataset["path"]))
    again = "Give the pictures it was trained on: edgetl export RUN --data PATH, or train again."
    try:
        # The run's own list holds readable pictures only, so that hashes are enough.
        dataset = split_dataset(index(source, check=source != recorded, progress=watcher.progress))
    except InputError as error:
        # The first line alone: the others list pictures, and flags that an export does not have.
        reason = str(error).splitlines()[0].rstrip(".:")
        raise InputError(f"The pictures of the run {run.name!r} cannot be used: {reason}. {again}") from error
    counts = {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)}
    if dataset.fingerprint != run.dataset["fingerprint"] or counts != run.dataset["counts"]:
        raise InputError(
            f"{source} does not hold the pictures that {run.name!r} was trained on: it has {counts}, "
            f"fingerprint {dataset.fingerprint[:12]}; the run had {run.dataset['counts']}, "
            f"{run.dataset['fingerprint'][:12]}. {again}"
        )
    return dataset


def _weights(run: Run, dataset: Dataset) -> NDArray[np.float32]:
    """Weigh the classes as the training did."""
    counts = TASKS[run.task].counts(dataset.targets(dataset.train), len(dataset.classes))
    return class_weights(counts, str(run.recipe["class_weights"]))


def _export_data(run: Run, dataset: Dataset, watcher: Watcher) -> ExportData:
    """Decode the pictures of each role; of many training pictures, a balanced and repeatable choice."""
    train = dataset.train
    if len(train) > MOST_TRAINING_PICTURES:
        places = balanced(
            [one.sha256 for one in train], [one.labels for one in train], MOST_TRAINING_PICTURES
        )
        train = tuple(train[place] for place in places)
        watcher.note(
            f"{len(train):,} of {len(dataset.train):,} training pictures calibrate and solve the head."
        )
    choose, verify = halves(dataset.val)
    return ExportData(*(_decode(run, dataset, pictures) for pictures in (train, choose, verify)))


def _decode(run: Run, dataset: Dataset, pictures: Sequence[Picture]) -> Labelled:
    with ThreadPoolExecutor(_DECODING_THREADS) as pool:
        pixels = list(pool.map(run.preprocess, [one.path for one in pictures]))
    return Labelled(np.stack(pixels), dataset.targets(pictures))


def _provenance(run: Run) -> dict[str, Any]:
    """Say where the model comes from, without paths, dates and names of machines."""
    recipe = dict(run.recipe) | {"backbone": run.backbone}
    if recipe.get("weights") not in ("default", "none"):
        recipe["weights"] = "file"
    return {
        "backbone": run.backbone,
        "licence": run.licence,
        "dataset": {"fingerprint": run.dataset["fingerprint"], "counts": dict(run.dataset["counts"])},
        "recipe": {
            name: list(value) if isinstance(value, tuple) else value for name, value in recipe.items()
        },
        "versions": dict(run.environment.get("versions", {})),
    }
