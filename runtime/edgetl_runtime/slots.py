"""A folder of two slots, `a` and `b`, and the file that says which of them is in use.

Knows how to read and write that file, and nothing about bundles: `installation` fills the slots, and
`Bundle.open` follows the pointer. The pointer is replaced by one rename, so a reader finds the old one or the
new one.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from edgetl_runtime.atomic import write_text
from edgetl_runtime.errors import BundleError
from edgetl_runtime.strict_json import JSON, Fields, brief, canonical, parse

__all__ = [
    "POINTER_NAME",
    "SLOT_NAMES",
    "Pointer",
    "Slot",
    "SlotName",
    "find_pointer",
    "is_slots",
    "read_pointer",
    "write_pointer",
]

FORMAT_VERSION = 1
POINTER_NAME = "slots.json"
MAX_POINTER_BYTES = 4_096

SlotName = Literal["a", "b"]
SLOT_NAMES: tuple[SlotName, ...] = get_args(SlotName)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that holds a bundle. id: that bundle's, 64 hex digits."""

    name: SlotName
    id: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.id):
            raise BundleError(f"Slot.id must be 64 hex digits, got {brief(self.id)}.")


@dataclass(frozen=True, slots=True)
class Pointer:
    """What `slots.json` says. current: the slot in use. previous: where `rollback` leads; None at first."""

    current: Slot
    previous: Slot | None

    def __post_init__(self) -> None:
        if self.previous is not None and self.previous.name == self.current.name:
            raise BundleError(f"Pointer.previous must be another slot than {self.current.name!r}.")

    @property
    def spare(self) -> SlotName:
        """The slot that is not in use."""
        return "b" if self.current.name == "a" else "a"


def is_slots(folder: Path) -> bool:
    """Return whether a folder is one of slots, by the file that names the one in use."""
    return (folder / POINTER_NAME).is_file()


def read_pointer(folder: Path) -> Pointer:
    """Read which slot is in use.

    Raises:
        BundleError: `slots.json` is missing or damaged, or of a newer version.
    """
    path = folder / POINTER_NAME
    value = _read(path)
    if isinstance(value, dict) and isinstance(version := value.get("format_version"), int):
        _refuse_newer(path, version)
    try:
        return _pointer(value, str(path))
    except BundleError as error:
        raise _DamagedError(f"{error} {_MEND}") from error


def find_pointer(folder: Path) -> Pointer | None:
    """Read which slot is in use; None where nothing says so, since `slots.json` is missing or damaged.

    Raises:
        BundleError: `slots.json` is of a newer version.
    """
    try:
        return read_pointer(folder)
    except _DamagedError:
        return None


def write_pointer(folder: Path, pointer: Pointer) -> None:
    """Switch: one rename, synced to the disk before and after it."""
    write_text(folder / POINTER_NAME, canonical(asdict(pointer) | {"format_version": FORMAT_VERSION}))


_KEYS = ("format_version", "current", "previous")
_MEND = "Run: edgetl-runtime install BUNDLE --into the folder"


class _DamagedError(BundleError):
    """Nothing can be known from `slots.json`, so that an installation may write another."""


def _read(path: Path) -> JSON:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_POINTER_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _DamagedError(f"{str(path.parent)!r} has no usable {POINTER_NAME}: {error}. {_MEND}") from error
    if len(text) > MAX_POINTER_BYTES:
        raise _DamagedError(f"{str(path)!r} must have at most {MAX_POINTER_BYTES} bytes. {_MEND}")
    try:
        return parse(text, str(path), BundleError)
    except BundleError as error:
        raise _DamagedError(f"{error} {_MEND}") from error


def _refuse_newer(path: Path, version: int) -> None:
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{str(path)!r} has format version {version}; this edgetl reads {FORMAT_VERSION}. Update edgetl."
        )


def _pointer(value: JSON, where: str) -> Pointer:
    f = Fields(value, where, _KEYS, BundleError)
    if f.integer("format_version") != FORMAT_VERSION:
        raise BundleError(f"{where}.format_version must be {FORMAT_VERSION}.")
    previous = f.value("previous")
    return Pointer(
        _slot(f.value("current"), f"{where}.current"),
        None if previous is None else _slot(previous, f"{where}.previous"),
    )


def _slot(value: JSON, where: str) -> Slot:
    f = Fields(value, where, ("name", "id"), BundleError)
    return Slot(f.choice("name", SLOT_NAMES), f.text("id"))
