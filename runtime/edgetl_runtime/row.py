"""What a dataset names before any picture is opened, and the names that mean something in every layout."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Task = Literal["single_label", "multi_label"]
Split = Literal["train", "val", "test"]

SPLITS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SUFFIXES |= {".ppm", ".pgm", ".pbm", ".pnm"}
_JUNK_FOLDERS = ("__MACOSX", "@eaDir")  # Left in datasets by macOS zip and by Synology.


@dataclass(frozen=True, slots=True)
class Row:
    """One picture that a dataset names; labels: sorted and different."""

    path: Path
    labels: tuple[str, ...]
    split: Split | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that looks like a picture and cannot be used, with a short reason such as "is empty"."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a dataset names, before any picture is opened; unusable: what is known not to count."""

    root: Path
    task: Task
    rows: tuple[Row, ...]
    unusable: tuple[Unreadable, ...] = ()


def is_junk(name: str) -> bool:
    """Tell whether a file or folder is hidden or left behind by another program."""
    return name.startswith(".") or name in _JUNK_FOLDERS


def is_named_as_picture(path: Path) -> bool:
    """Tell whether a name promises a picture."""
    return path.suffix.lower() in SUFFIXES and not is_junk(path.name)


def composed(name: str) -> str:
    """Compose a name: macOS writes é as two characters, Linux as one, and both mean one class."""
    return unicodedata.normalize("NFC", name)


def untrained(rows: tuple[Row, ...]) -> list[str]:
    """Return the classes that val or test have and train lacks, where there is train."""
    trained = {label for row in rows if row.split == "train" for label in row.labels}
    judged = {label for row in rows if row.split in ("val", "test") for label in row.labels}
    return sorted(judged - trained) if trained else []
