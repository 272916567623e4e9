"""From an ONNX file that somebody else trained to a bundle; pictures of its classes say whether int8 holds.

Knows the file by what its user says of it: classes in the order of its scores, mean, deviation, layout, size.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from edgetl.dataset import Dataset, load_dataset
from edgetl.export_data import dataset_facts, export_data
from edgetl.pipeline import head_solver
from edgetl_exporters.export import Options, export
from edgetl_exporters.model import Layout, Model, Silent
from edgetl_exporters.report import Report
from edgetl_runtime.atomic import refuse_place
from edgetl_runtime.errors import InputError
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.row import composed

MAX_CLASSES_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Given:
    """An ONNX classifier as its maker describes it.

    file: takes normalised RGB pictures, float32, in `layout`; gives a score for each class. classes: in the
    order of the scores. mean, std: per channel of RGB in 0–1. licence: of the file; data_licence: of the
    pictures that it is measured on.
    """

    file: Path
    classes: tuple[str, ...]
    preprocess: Preprocess
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    layout: Layout = "nchw"
    licence: str = "not stated"
    data_licence: str | None = None


def read_classes(path: Path) -> tuple[str, ...]:
    """Read a text file with a class on each line, composed and without the mark that Windows puts first.

    Raises:
        InputError: it cannot be read, or names fewer than two classes, or one twice.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = file.read(MAX_CLASSES_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--classes {str(path)!r} cannot be read: {error}.") from error
    classes = tuple(composed(line.strip()) for line in lines if line.strip())
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise InputError(
            f"--classes {str(path)!r} must name two classes or more, one a line, none twice; it has "
            f"{len(set(classes))} different ones on {len(classes)} lines."
        )
    return classes


def export_given(given: Given, data: Path, out: Path, **options: Unpack[Options]) -> Report:
    """Export an ONNX classifier to a bundle, with labelled pictures of its classes.

    Raises:
        InputError: the file is no such classifier, the pictures have other classes, or `out` exists.
        ContractError: a promise was measured and broken; nothing is written.
    """
    watcher = options.get("watcher") or Silent()
    refuse_place(out)
    watcher.phase("pictures")
    dataset = load_dataset(data, progress=watcher.progress)
    for line in dataset.notes():
        watcher.note(line)
    places = _places(given, dataset)
    model = Model(
        given.file.stem,
        given.file,
        dataset.task,
        given.classes,
        given.preprocess,
        given.mean,
        given.std,
        layout=given.layout,
    )
    return export(
        model,
        export_data(
            dataset,
            given.preprocess,
            lambda part: _moved(dataset.targets(part), places, given.classes),
            watcher,
        ),
        out,
        solve_head=head_solver(dataset.task, np.ones(len(given.classes), np.float32)),
        provenance=_provenance(given, dataset),
        **options,
    )


def _places(given: Given, dataset: Dataset) -> list[int]:
    """Return where each class of the pictures is among the file's."""
    unknown = sorted(set(dataset.classes) - set(given.classes))
    if unknown:
        raise InputError(
            f"The pictures show classes that --classes does not name: {', '.join(map(repr, unknown[:5]))}. "
            f"It names {', '.join(map(repr, given.classes[:5]))}, …; rename the folders, or the lines."
        )
    return [given.classes.index(name) for name in dataset.classes]


def _moved(targets: NDArray[Any], places: Sequence[int], classes: Sequence[str]) -> NDArray[Any]:
    """Renumber targets from the data set's order of classes to the file's."""
    if targets.ndim == 1:
        return np.asarray(np.asarray(places)[targets])
    moved = np.zeros((len(targets), len(classes)), targets.dtype)
    moved[:, places] = targets
    return moved


def _provenance(given: Given, dataset: Dataset) -> Mapping[str, Any]:
    counts = {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)}
    return {
        "backbone": f"ONNX file {hashlib.sha256(given.file.read_bytes()).hexdigest()}",
        "licence": given.licence,
        "dataset": dataset_facts(dataset.fingerprint, counts, given.data_licence),
    }
