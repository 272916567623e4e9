"""One sample of WebDataset: its picture, its label, or why it cannot count. Opens no picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from edgetl_runtime.errors import DatasetError
from edgetl_runtime.member import Member, member
from edgetl_runtime.row import SPLITS, SUFFIXES, Row, Split, Unreadable, composed
from edgetl_runtime.tars import Entry

CLASS_NAMES = "classnames.txt"
# The fields of a sample, such as "jpg" or "cls", in the order of the tar.
Sample: TypeAlias = list[tuple[str, Entry]]
_PICTURES = {suffix.removeprefix(".") for suffix in SUFFIXES}
_USED = _PICTURES | {"cls", "json"}
_MOST_BYTES = 2**20  # of a label's file


class Named(NamedTuple):
    """A picture that is listed or known not to count; several: its label was a list."""

    found: Row | Unreadable
    several: bool = False


class _Unlabelled(Exception):
    """Why a picture has no label."""


def pictures(sample: Sample) -> list[Entry]:
    """Return the files of a sample that are named as pictures."""
    return [entry for field, entry in sample if field in _PICTURES]


def named(
    tar: Path, split: Split | None, keyed: tuple[str, Sample], known: tuple[BinaryIO, Sequence[str]]
) -> list[Named]:
    """Name the picture of a sample, or say of each that it might have why it cannot count.

    Args:
        keyed: the sample's key and fields. known: the tar, opened, and the names of the classes.
    """
    key, sample = keyed
    found = pictures(sample)
    labelled = [entry for field, entry in sample if field == "cls"]
    if not found:
        return [_without(tar, entry, f"is a label without a picture {key}.*") for entry in labelled]
    if reason := _unfit(sample, found):
        return [_without(tar, entry, reason) for entry in found]
    (entry,) = found
    try:
        labels, several = _labels(key, dict(sample), *known)
    except _Unlabelled as error:
        return [_without(tar, entry, str(error))]
    return [Named(Row(_place(tar, entry), labels, split), several)]


def read_class_names(home: Path) -> tuple[str, ...]:
    """Read the names of classes 0, 1, … from the dataset's folder, or from above its folder of a split.

    Raises:
        DatasetError: they are no text, or not different.
    """
    homes = [home, home.parent] if home.resolve().name.lower() in SPLITS else [home]
    path = next((one / CLASS_NAMES for one in homes if (one / CLASS_NAMES).is_file()), None)
    if path is None:
        return ()
    try:
        names = [composed(line.strip()) for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    if not all(names) or len(set(names)) < len(names):
        raise DatasetError(f"{path} must have one name a line, all different, got {names[:20]!r}.")
    return tuple(names)


def _place(tar: Path, entry: Entry) -> Member:
    return member(tar, entry.name, entry.offset, entry.bytes)


def _without(tar: Path, entry: Entry, reason: str) -> Named:
    return Named(Unreadable(_place(tar, entry), reason))


def _unfit(sample: Sample, found: list[Entry]) -> str:
    """Say why a sample does not have one picture that can be read by its place."""
    fields = [field for field, _ in sample]
    twice = sorted({one for one in fields if one in _USED and fields.count(one) > 1})
    if twice:
        return f"has its key twice in the tar: .{', .'.join(twice)} (keys end at the first dot of the name)"
    if len(found) > 1:
        return "shares its key with another picture (keys end at the first dot of the name)"
    if ".." in found[0].name.split("/"):
        return "has a name that leads out of the tar"
    return found[0].reason


def _labels(
    key: str, fields: dict[str, Entry], file: BinaryIO, names: Sequence[str]
) -> tuple[tuple[str, ...], bool]:
    """Return the labels, sorted, and whether they were a list."""
    told = []
    if "cls" in fields:
        told.append(_from_cls(_text(file, fields["cls"]), names))
    if "json" in fields:
        told += _from_json(_text(file, fields["json"]), names)
    if not told:
        raise _Unlabelled('has no label: neither a .cls nor a "label" in a .json under its key')
    if told[0] != told[-1]:
        of_cls, of_json = ("|".join(labels) for labels, _ in told)
        raise _Unlabelled(
            f"has two labels: {of_cls} in its .cls, {of_json} in its .json ({CLASS_NAMES} names numbers)"
        )
    return told[0]


def _text(file: BinaryIO, entry: Entry) -> str:
    if entry.reason or entry.bytes > _MOST_BYTES:
        raise _Unlabelled(f"has a label that {entry.reason or f'has {entry.bytes:,} bytes'}")
    file.seek(entry.offset)
    try:
        return file.read(entry.bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unlabelled("has a label that is no UTF-8 text") from error


def _from_cls(text: str, names: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    number = text.strip()
    if not (number.isascii() and number.isdecimal()):
        raise _Unlabelled(
            f"has the class {number[:40]!r} in its .cls, which must be a whole number "
            '(a .json with a "label" takes names)'
        )
    return (_of_number(int(number), names),), False


def _from_json(text: str, names: Sequence[str]) -> list[tuple[tuple[str, ...], bool]]:
    """Return the labels in a list, which is empty where the JSON tells none."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Unlabelled("has a .json that is none") from error
    found = told.get("label") if isinstance(told, dict) else None
    if found is None:
        return []
    several = isinstance(found, list)
    labels = {_of_json(one, names) for one in (found if several else [found])}
    return [(tuple(sorted(labels)), several)]


def _of_json(value: object, names: Sequence[str]) -> str:
    match value:
        case bool():
            pass
        case int() if value >= 0:
            return _of_number(value, names)
        case str() if value.strip():
            return composed(value.strip())
    raise _Unlabelled(f"has the label {str(value)[:40]!r} in its .json: neither a name nor a whole number")


def _of_number(number: int, names: Sequence[str]) -> str:
    if not names:
        return str(number)
    if number >= len(names):
        raise _Unlabelled(f"has the class {number}, and {CLASS_NAMES} names 0 to {len(names) - 1}")
    return names[number]
