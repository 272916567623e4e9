"""Labelled pictures on disk: what `index` finds, and what must hold about it. Knows no model.

A picture is known by the SHA-256 of its bytes, so that leaks between splits and contradictory labels show.
"""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from edgetl_runtime.decode import check_decodable, read_file
from edgetl_runtime.errors import DatasetError, InputError, PictureError
from edgetl_runtime.listing import list_dataset
from edgetl_runtime.row import Row
from edgetl_runtime.row import Split as Split
from edgetl_runtime.row import Task as Task
from edgetl_runtime.row import Unreadable as Unreadable

Progress = Callable[[int, int], None]

_QUEUED = 4_096
_SHA256 = re.compile(r"[0-9a-f]{64}")


def index(
    path: Path | str, *, check: bool = True, max_unreadable: float = 0.05, progress: Progress | None = None
) -> "Index":
    """Hash every picture of a dataset and, with `check`, decode it to find the unreadable ones.

    Args:
        path: a folder of class folders, with or without train, val and test above them; a CSV file with
            the columns path,label[,split], its paths relative to its folder, where `|` between labels, or an
            empty label, makes the dataset multi-label; or WebDataset's tars: a folder of them, one, or a
            pattern such as `train-{000..009}.tar`.
        max_unreadable: the fraction of pictures that may be unreadable, 0 to 1.
        progress: is told how many pictures of how many are done.

    Raises:
        DatasetError: not such a dataset, or more unreadable pictures than allowed.
    """
    if not 0 <= max_unreadable <= 1:
        raise InputError(f"max_unreadable must be a fraction in [0, 1], got {max_unreadable!r}.")
    listing = list_dataset(Path(path))
    pictures: list[Picture] = []
    unreadable = list(listing.unusable)
    with closing(_examine_all(listing.rows, check)) as examined:
        for done, found in enumerate(examined, start=1):
            if isinstance(found, Picture):
                pictures.append(found)
            else:
                unreadable.append(found)
            if progress is not None:
                progress(done, len(listing.rows))
    total = len(listing.rows) + len(listing.unusable)
    _refuse_unreadable(Path(path), unreadable, total, max_unreadable)
    classes = sorted({label for row in listing.rows for label in row.labels})
    _refuse_lost_classes(classes, pictures)
    return Index(
        root=listing.root,
        classes=tuple(classes),
        task=listing.task,
        pictures=tuple(sorted(pictures, key=lambda one: (one.split or "", one.labels, one.path))),
        unreadable=tuple(sorted(unreadable, key=lambda one: one.path)),
    )


def fingerprint_of(pictures: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """Return the SHA-256 over pictures, each a hash and its sorted labels, in whatever order."""
    return hashlib.sha256(json.dumps(sorted(pictures), separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file, its labels and its split.

    sha256: 64 hex digits over the file's bytes. labels: sorted, empty only in a multi-label dataset.
    split: None where the dataset was not split by its maker.
    """

    path: Path
    sha256: str
    labels: tuple[str, ...]
    split: Split | None = None

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise DatasetError(f"Picture.sha256 must be 64 hex digits, got {self.sha256!r}.")
        if list(self.labels) != sorted(set(self.labels)):
            raise DatasetError(f"Picture.labels must be sorted and different, got {self.labels!r}.")
        if self.split not in ("train", "val", "test", None):
            raise DatasetError(f"Picture.split must be 'train', 'val', 'test' or None, got {self.split!r}.")


class Conflict(NamedTuple):
    """The same bytes under different labels."""

    sha256: str
    labels: tuple[tuple[str, ...], ...]


class Leak(NamedTuple):
    """The same bytes in more than one split."""

    sha256: str
    splits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """A dataset as it lies on disk, in a fixed order: by split, labels and path.

    classes: sorted names; a label's number is its place in them.
    """

    root: Path
    classes: tuple[str, ...]
    task: Task
    pictures: tuple[Picture, ...]
    unreadable: tuple[Unreadable, ...] = ()

    def __post_init__(self) -> None:
        if list(self.classes) != sorted(set(self.classes)):
            raise DatasetError(f"Index.classes must be sorted and different, got {self.classes!r}.")
        known = set(self.classes)
        for picture in self.pictures:
            if not known.issuperset(picture.labels):
                raise DatasetError(
                    f"{picture.path} has labels {picture.labels!r} outside the classes {self.classes!r}."
                )
            if self.task == "single_label" and len(picture.labels) != 1:
                raise DatasetError(f"{picture.path} must have one label, got {picture.labels!r}.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every picture's hash and labels, whatever the files' names and places."""
        return fingerprint_of((picture.sha256, picture.labels) for picture in self.pictures)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Pictures whose copies carry different labels."""
        seen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for picture in self.pictures:
            seen[picture.sha256].add(picture.labels)
        return tuple(
            Conflict(sha, tuple(sorted(labels))) for sha, labels in sorted(seen.items()) if len(labels) > 1
        )

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """Pictures with a copy in another split: they make every figure on that split too good."""
        seen: dict[str, set[str]] = defaultdict(set)
        for picture in self.pictures:
            seen[picture.sha256].add(picture.split or "")
        return tuple(
            Leak(sha, tuple(sorted(splits))) for sha, splits in sorted(seen.items()) if len(splits) > 1
        )


def _examine_all(rows: tuple[Row, ...], check: bool) -> Generator[Picture | Unreadable, None, None]:
    """Examine in threads, since hashing and decoding release the interpreter; results come in order.

    Closing the generator cancels what is still queued, so that an interrupt does not wait for it. Few are
    queued at a time, since each takes more memory than what is found.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(rows), _QUEUED):
            yield from pool.map(partial(_examine, check=check), rows[start : start + _QUEUED])


def _examine(row: Row, *, check: bool) -> Picture | Unreadable:
    try:
        data = read_file(row.path)
        if check or not data:
            check_decodable(data, str(row.path))
    except PictureError as error:
        return Unreadable(row.path, error.reason)
    return Picture(row.path, hashlib.sha256(data).hexdigest(), row.labels, row.split)


def _refuse_unreadable(path: Path, unreadable: list[Unreadable], total: int, allowed: float) -> None:
    if total == 0:
        raise DatasetError(f"{path} names no picture. Add pictures, or give another path.")
    if len(unreadable) <= allowed * total:
        return
    shown = "".join(f"\n  {one.path} {one.reason}" for one in unreadable[:5])
    more = f"\n  and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
    raise DatasetError(
        f"{len(unreadable)} of {total} pictures are unreadable, more than the fraction {allowed:g} allowed:"
        f"{shown}{more}\nMend or remove them, or allow more with --max-unreadable."
    )


def _refuse_lost_classes(classes: list[str], pictures: list[Picture]) -> None:
    lost = sorted(set(classes) - {label for picture in pictures for label in picture.labels})
    if lost:
        raise DatasetError(
            f"The classes {lost} have no readable picture. Add pictures, or remove the classes."
        )
