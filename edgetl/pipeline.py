"""From a run to a bundle: reads the run, finds its pictures again, and hands both to the exporters.

The exporters know neither runs nor scikit-learn: the module, the solver of heads and the fitting of the
temperature are handed over as callables, so that an int8 head is solved as the training solved its own.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from edgetl.dataset import Dataset, split_dataset
from edgetl.export_data import dataset_facts, export_data
from edgetl.run import SPLITS, Run, read_module, read_run
from edgetl.scoring import fit_temperature
from edgetl.task import TASKS, weigh_classes
from edgetl_exporters.export import Options, export
from edgetl_exporters.model import HeadSolver, Model, Silent, Watcher
from edgetl_exporters.report import Report
from edgetl_runtime.atomic import refuse_place
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Task, index


def export_run(
    run_folder: Path,
    out: Path,
    *,
    data: Path | None = None,
    data_licence: str | None = None,
    **options: Unpack[Options],
) -> Report:
    """Export a run to a bundle: a folder, or a zip where `out` ends in .zip.

    Args:
        data: the run's pictures, where they no longer lie where the training found them.
        data_licence: of the pictures, for the bundle's provenance and bill of materials.
        options: as `edgetl_exporters.export` takes them.

    Raises:
        InputError: no run, not the pictures that it was trained on, or `out` exists.
        ContractError: a promise was measured and broken; nothing is written.
    """
    watcher = options.get("watcher") or Silent()
    refuse_place(out)
    run = read_run(run_folder)
    watcher.phase("pictures")
    dataset = _dataset(run, run_folder, data, watcher)
    module, rules = read_module(run_folder), TASKS[run.task]
    model = Model(run.name, module, run.task, run.classes, run.preprocess, run.mean, run.std, run.temperature)
    targets, mode = dataset.targets(dataset.train), str(run.recipe["class_weights"])
    weights = weigh_classes(run.task, targets, len(dataset.classes), mode)
    return export(
        model,
        export_data(dataset, run.preprocess, dataset.targets, watcher),
        out,
        solve_head=head_solver(run.task, weights),
        fit_temperature=lambda logits, targets: fit_temperature(logits, targets, rules),
        provenance=_provenance(run, data_licence),
        **options,
    )


def head_solver(task: Task, weights: NDArray[np.float32]) -> HeadSolver:
    """Return the training's own solver of heads, for classes with these weights."""

    def solve(
        train: NDArray[Any], train_targets: NDArray[Any], choose: NDArray[Any], choose_targets: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        from edgetl import head as heads  # scikit-learn takes seconds, and few exports climb so far

        fitted, judged = heads.Labelled(train, train_targets), heads.Labelled(choose, choose_targets)
        solved = heads.solve_head(fitted, judged, task=task, weights=weights)
        return solved.weight, solved.bias

    return solve


def _dataset(run: Run, folder: Path, data: Path | None, watcher: Watcher) -> Dataset:
    """Load the pictures of the training, in its splits, or say that they are others."""
    recorded = folder / SPLITS
    source = data or (recorded if recorded.exists() else Path(run.dataset["path"]))
    again = "Give the pictures it was trained on: edgetl export RUN --data PATH, or train again."
    try:
        # The run's own list holds readable pictures only, so that hashes are enough.
        found = index(source, check=source != recorded, progress=watcher.progress)
        # Files show one label each also where several were allowed; the run knows.
        dataset = split_dataset(replace(found, task=run.task))
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


def _provenance(run: Run, data_licence: str | None) -> dict[str, Any]:
    """Say where the model comes from, without paths, dates and names of machines."""
    recipe = dict(run.recipe) | {"backbone": run.backbone}
    if recipe.get("weights") not in ("default", "none"):
        recipe["weights"] = "file"
    return {
        "backbone": run.backbone,
        "licence": run.licence,
        "dataset": dataset_facts(run.dataset["fingerprint"], run.dataset["counts"], data_licence),
        "recipe": {
            name: list(value) if isinstance(value, tuple) else value for name, value in recipe.items()
        },
        "versions": dict(run.environment.get("versions", {})),
    }
