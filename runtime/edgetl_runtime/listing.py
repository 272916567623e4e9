"""Which pictures a dataset names, and how: folders of classes, a CSV file, or tars. Opens no picture."""

import csv
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgetl_runtime import shards
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.row import SPLITS, Listing, Row, Split, composed, is_junk, is_named_as_picture, untrained
from edgetl_runtime.tars import COMPRESSED, SUFFIX, find_members, refusal_of_compressed

_COLUMNS = ("path", "label", "split")


def list_dataset(path: Path) -> Listing:
    """List a folder of class folders, with or without train, val and test above them, a CSV file, or tars.

    Raises:
        DatasetError: nothing there, or not laid out as any of them.
    """
    try:
        if path.is_dir():
            return _list_directory(path)
        if path.is_file():
            return _list_file(path)
        if shards.is_pattern(path):
            return shards.list_shards(None, shards.expand(path))
    except OSError as error:
        raise DatasetError(f"The dataset {path} cannot be read ({error}). Check its permissions.") from error
    raise DatasetError(
        f"There is no dataset at {path}. Give a folder of class folders or of tars, a tar, or a CSV file."
    )


def _list_directory(path: Path) -> Listing:
    if tars := shards.find_shards(path):
        return shards.list_shards(path, tars)
    return Listing(path, "single_label", tuple(_list_folder(path)))


def _list_file(path: Path) -> Listing:
    if path.suffix.lower() == SUFFIX:
        return shards.list_shards(None, [path])
    if path.name.lower().endswith(COMPRESSED):
        raise refusal_of_compressed(path, path.suffix)
    return _list_csv(path)


def _list_folder(root: Path) -> Iterator[Row]:
    folders = _split_folders(root)
    if not folders:
        yield from _list_classes(root, None)
        return
    _refuse_loose(root)
    classes: dict[Split, set[str]] = {}
    for folder in folders:
        split = SPLITS[folder.name.lower()]
        if split in classes:
            raise DatasetError(f"{root} has two folders for the split {split!r}. Merge them, or remove one.")
        rows = list(_list_classes(folder, split))
        classes[split] = {row.labels[0] for row in rows}
        yield from rows
    _refuse_different_classes(root, classes)


def _split_folders(root: Path) -> list[Path]:
    """Find the folders of splits; their names are reserved, so that no split is ever taken for a class."""
    folders = _subfolders(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    if not splits:
        return []
    strays = [folder.name for folder in folders if folder not in splits and _pictures_below(folder)]
    if strays:
        names = [folder.name for folder in splits]
        raise DatasetError(
            f"{root} has the folders {names} of splits beside {strays}, which hold pictures too. "
            f"{', '.join(SPLITS)} always name splits: rename a class that is called so, or write a CSV."
        )
    return splits


def _list_classes(root: Path, split: Split | None) -> Iterator[Row]:
    folders = _subfolders(root)
    _refuse_loose(root)
    if not folders:
        raise DatasetError(
            f"{root} has no class folder. Put its pictures into one folder per class, or write a CSV."
        )
    for folder in folders:
        paths = _pictures_below(folder)
        if not paths:
            raise DatasetError(
                f"The class folder {folder} has no picture. Add pictures, or remove the folder."
            )
        for path in paths:
            yield Row(path, (composed(folder.name),), split)


def _refuse_loose(root: Path) -> None:
    loose = [path.name for path in sorted(root.iterdir()) if path.is_file() and is_named_as_picture(path)]
    if loose:
        raise DatasetError(
            f"{len(loose)} pictures lie directly in {root}, such as {loose[0]!r}, and so have no class. "
            "Put them into one folder per class, or write a CSV."
        )


def _refuse_different_classes(root: Path, classes: dict[Split, set[str]]) -> None:
    every = set().union(*classes.values())
    missing = [f"{split} lacks {sorted(every - names)}" for split, names in classes.items() if every - names]
    if missing:
        raise DatasetError(
            f"The splits of {root} have different classes: {'; '.join(missing)}. Make them the same."
        )


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_junk(path.name))


def _pictures_below(folder: Path) -> list[Path]:
    """Find what may be a picture at any depth: named as one, or without a suffix; links are followed once."""
    found: list[Path] = []
    seen: set[str] = set()
    for current, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(current)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_junk(name))
        paths = [Path(current, name) for name in files if not is_junk(name)]
        found += [path for path in paths if is_named_as_picture(path) or not path.suffix]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _list_csv(path: Path) -> Listing:
    records = _records(path)
    if not records:
        raise DatasetError(f"{path} is empty. Write the columns path,label[,split] and a row per picture.")
    columns = _columns(path, records[0][1])
    cells = [(number, _cells(path, number, columns, record)) for number, record in records[1:]]
    rows = tuple(_row(path, number, cell) for number, cell in cells)
    _refuse_bad_rows(path, [number for number, _ in cells], rows)
    is_multi = any("|" in cell["label"] or not cell["label"] for _, cell in cells)
    return Listing(path.parent, "multi_label" if is_multi else "single_label", _placed(rows))


def _placed(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Say where the pictures lie that are named as members of tars, such as `0.tar/cat/1.jpg`."""
    inside = [row.path for row in rows if any(part.endswith(SUFFIX) for part in row.path.parts[:-1])]
    members = find_members(inside) if inside else {}
    return tuple(replace(row, path=members.get(row.path, row.path)) for row in rows) if members else rows


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """Read the lines that are not empty, each with its number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, record) for record in reader if record]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text ({error}). Save the CSV as UTF-8.") from error
    except csv.Error as error:
        raise DatasetError(
            f"{path} is not a CSV file ({error}). Write the columns path,label[,split]."
        ) from error


def _columns(path: Path, header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    if len(set(columns)) < len(columns) or not {"path", "label"} <= set(columns) <= set(_COLUMNS):
        raise DatasetError(
            f"{path} must have the columns path, label and maybe split, separated by commas, each once; "
            f"got {header!r}. Rename or remove columns."
        )
    return columns


def _cells(path: Path, number: int, columns: list[str], record: list[str]) -> dict[str, str]:
    if len(record) != len(columns):
        raise DatasetError(f"{path}, line {number}: has {len(record)} fields, the header has {len(columns)}.")
    return {column: text.strip() for column, text in zip(columns, record, strict=True)}


def _row(path: Path, number: int, cells: dict[str, str]) -> Row:
    split = cells.get("split", "")
    if split and split.lower() not in SPLITS:
        raise DatasetError(
            f"{path}, line {number}: the split must be one of {sorted(SPLITS)}, got {split!r}."
        )
    if not cells["path"]:
        raise DatasetError(f"{path}, line {number}: the path is empty. Name a picture, or remove the line.")
    labels = {composed(label.strip()) for label in cells["label"].split("|")} - {""}
    return Row(path.parent / cells["path"], tuple(sorted(labels)), SPLITS[split.lower()] if split else None)


def _refuse_bad_rows(path: Path, numbers: list[int], rows: tuple[Row, ...]) -> None:
    lines: dict[Path, int] = {}
    for number, row in zip(numbers, rows, strict=True):
        place = row.path.absolute()  # `a.jpg` and `/data/a.jpg` may be one.
        if place in lines:
            raise DatasetError(
                f"{path}, line {number}: {row.path} is in line {lines[place]} too. Remove one."
            )
        lines[place] = number
    if len({row.split is None for row in rows}) > 1:
        number = next(number for number, row in zip(numbers, rows, strict=True) if row.split is None)
        raise DatasetError(
            f"{path}, line {number}: has no split while others have. Give all rows a split, or none."
        )
    if unknown := untrained(rows):
        raise DatasetError(
            f"{path}: the classes {unknown} are in val or test and not in train. Add some there."
        )
