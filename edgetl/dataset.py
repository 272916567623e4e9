"""Labelled pictures in three splits, as training takes them. Opens pictures only through the runtime's index.

Train fits, val chooses, test is looked at once. What the user split stays split; the rest goes by the
pictures' hashes: all pictures where there are no splits, a share of train where there is no val, half of val
where there is no test.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.split import split_by_hash
from edgetl_runtime.atomic import write_text
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.pictures import Conflict, Index, Leak, Picture, Progress, Split, Task, Unreadable, index
from edgetl_runtime.strict_json import well_formed

_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_SHOWN = 5  # of the pictures that were left out
_ALL: Mapping[Split, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
_WITHOUT_VAL: Mapping[Split, float] = {"train": 0.85, "val": 0.15}
_WITHOUT_TEST: Mapping[Split, float] = {"val": 0.5, "test": 0.5}


def load_dataset(
    path: Path | str, *, max_unreadable: float = 0.05, progress: Progress | None = None
) -> "Dataset":
    """Index a folder, CSV file or tars of pictures as `edgetl_runtime.index` does; split what is not split.

    Raises:
        DatasetError: it cannot be used, or there is nothing to learn or to judge by.
    """
    return split_dataset(index(path, max_unreadable=max_unreadable, progress=progress))


def split_dataset(index: Index) -> "Dataset":
    """Complete the splits of an index: train, val and test.

    Raises:
        DatasetError: there is nothing to learn or to judge by.
    """
    _refuse_one_class(index)
    given = {picture.split for picture in index.pictures} - {None}
    if given <= {"train"}:
        _refuse_lone_pictures(index)
        pictures = _resplit(index.pictures, ("train", None), _ALL)
    elif "train" not in given:
        raise DatasetError(f"{index.root} has {sorted(given, key=str)} and no train. Name a split train.")
    else:
        missing = _WITHOUT_VAL if "val" not in given else _WITHOUT_TEST if "test" not in given else {}
        pictures = _resplit(index.pictures, list(missing)[:1], missing)
    train, val, test = (tuple(one for one in pictures if one.split == split) for split in _SPLITS)
    return Dataset(index, train, val, test)


@dataclass(frozen=True, slots=True)
class Dataset:
    """An index with every picture in one of three splits; each picture says which.

    classes: sorted; a label's number is its place in them. fingerprint: of all pictures and labels, whatever
    the splits. leaks: pictures with a copy in another of the user's own splits. conflicts: pictures whose
    copies have other labels.
    """

    index: Index
    train: tuple[Picture, ...]
    val: tuple[Picture, ...]
    test: tuple[Picture, ...]

    def __post_init__(self) -> None:
        for split in _SPLITS:
            if not self[split]:
                raise DatasetError(
                    f"{self.root} has {len(self.index.pictures)} pictures, and none of them is in {split}. "
                    "Add pictures, or give each its split."
                )
        learned = {label for picture in self.train for label in picture.labels}
        if unseen := sorted(set(self.classes) - learned):
            raise DatasetError(
                f"{self.root} has no picture of {unseen} in train. Add some, or remove these classes."
            )

    def __getitem__(self, split: Split) -> tuple[Picture, ...]:
        """Return the pictures of a split by its name."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    @property
    def root(self) -> Path:
        """The folder that holds the class folders, or the CSV file."""
        return self.index.root

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, sorted."""
        return self.index.classes

    @property
    def task(self) -> Task:
        """Whether a picture has one label or any number."""
        return self.index.task

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all pictures and their labels."""
        return self.index.fingerprint

    @property
    def split_fingerprint(self) -> str:
        """SHA-256 over the pictures of each split in their order, and their labels: what a training sees."""
        rows = [(split, one.sha256, one.labels) for split in _SPLITS for one in self[split]]
        return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """What was found and left out."""
        return self.index.unreadable

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """Pictures that lie in several splits of the user."""
        return self.index.leaks

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Pictures with contradicting labels."""
        return self.index.conflicts

    def with_every_class(self, chosen: Sequence[Picture]) -> tuple[Picture, ...]:
        """Return chosen training pictures, and behind them the first of each class that they lack."""
        seen = {label for picture in chosen for label in picture.labels}
        added = list[Picture]()
        for picture in self.train:
            if not seen.issuperset(picture.labels):
                seen |= set(picture.labels)
                added.append(picture)
        return (*chosen, *added)

    def notes(self) -> list[str]:
        """Say in lines what the pictures are and what is wrong with them."""
        counts = ", ".join(f"{len(self[split]):,} {split}" for split in _SPLITS)
        lines = [f"{counts} pictures in {len(self.classes):,} classes"]
        for kind, found in self.flaws().items():
            lines += [f"{kind}: {one}" for one in found[:_SHOWN]]
            if len(found) > _SHOWN:
                lines.append(f"{kind}: {len(found) - _SHOWN:,} more; the run's run.json names all")
        return lines

    def flaws(self) -> dict[str, list[str]]:
        """Name every picture that was left out, lies in several splits, or has a copy with other labels."""
        paths: dict[str, list[str]] = {}
        for picture in self.index.pictures:
            paths.setdefault(picture.sha256, []).append(str(picture.path))
        return {
            "left out": [well_formed(f"{one.path} {one.reason}") for one in self.unreadable],
            "leakage": [
                f"{' = '.join(paths[one.sha256])}, in {' and '.join(one.splits)}" for one in self.leaks
            ],
            "contradiction": [
                f"{' = '.join(paths[one.sha256])}, as {' and '.join('|'.join(them) for them in one.labels)}"
                for one in self.conflicts
            ],
        }

    def targets(self, pictures: Sequence[Picture]) -> NDArray[Any]:
        """Return what a model should answer.

        Returns:
            Single label: (n,) int64, numbers of classes. Multi-label: (n, classes) float32, zeros and ones.
        """
        number = {name: position for position, name in enumerate(self.classes)}
        if self.task == "single_label":
            return np.array([number[picture.labels[0]] for picture in pictures], dtype=np.int64)
        targets = np.zeros((len(pictures), len(self.classes)), dtype=np.float32)
        for row, picture in enumerate(pictures):
            targets[row, [number[label] for label in picture.labels]] = 1
        return targets


def write_csv(dataset: Dataset, path: Path) -> None:
    """Write the columns path, label and split, with absolute paths: `load_dataset` and the runtime read it.

    Links are not followed: two may lead to one file, and a CSV names a path once. Where pictures may have
    several labels, a lone one ends in `|`, by which the reader knows.

    Raises:
        DatasetError: see `check_names`.
    """
    check_names(dataset)
    rows = [("path", "label", "split")]
    for split in _SPLITS:
        rows += [(str(one.path.absolute()), _cell(one, dataset.task), split) for one in dataset[split]]
    # A lone carriage return ends a line for the reader, and the writer quotes what ends its own.
    has_returns = any("\r" in cell for row in rows for cell in row)
    text = io.StringIO()
    writer = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL
    )
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _cell(picture: Picture, task: Task) -> str:
    return "|".join(picture.labels) + ("|" if task == "multi_label" and len(picture.labels) == 1 else "")


def check_names(dataset: Dataset) -> None:
    """Refuse what `write_csv` could not write, before there is anything to write.

    Raises:
        DatasetError: a class or a path would be read back as another, or a path is no text.
    """
    for name in dataset.classes:
        if "|" in name or name != name.strip() or not name or name != well_formed(name):
            raise DatasetError(
                f"The dataset.csv of a run cannot hold the class {name!r}. Rename it: UTF-8, no '|', no "
                "space around."
            )
    for picture in (*dataset.train, *dataset.val, *dataset.test):
        path = str(picture.path.absolute())
        if path != well_formed(path) or path != path.strip():
            why = "a space at its end" if path != path.strip() else "no valid UTF-8"
            raise DatasetError(f"The dataset.csv of a run cannot hold the path {path!r}: {why}. Rename it.")


def _resplit(
    pictures: tuple[Picture, ...], sources: Sequence[Split | None], shares: Mapping[Split, float]
) -> tuple[Picture, ...]:
    """Split the pictures of some splits anew; copies of a picture stay together."""
    labels: dict[str, frozenset[str]] = {}
    for picture in pictures:
        if picture.split in sources:
            labels[picture.sha256] = labels.get(picture.sha256, frozenset()) | set(picture.labels)
    splits = split_by_hash(labels, shares)
    return tuple(
        replace(picture, split=splits[picture.sha256]) if picture.split in sources else picture
        for picture in pictures
    )


def _refuse_one_class(index: Index) -> None:
    if not index.classes or (index.task == "single_label" and len(index.classes) == 1):
        raise DatasetError(
            f"{index.root} has the classes {list(index.classes)}: nothing to tell apart. Add another class."
        )


def _refuse_lone_pictures(index: Index) -> None:
    contents = {name: set[str]() for name in index.classes}
    for picture in index.pictures:
        for label in picture.labels:
            contents[label].add(picture.sha256)
    lone = [name for name, found in contents.items() if len(found) < 2]
    if lone:
        raise DatasetError(
            f"The classes {lone} have one picture each, which cannot be learned and judged at once. "
            "Add pictures, 20 are a start, or remove these classes."
        )
