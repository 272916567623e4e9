"""Nothing half-written: files and folders are written aside, synced to the disk and renamed into place.

Knows nothing about what it writes. An interrupted or failed write leaves what was there before; after a power
cut there may be a hidden sibling `.NAME.HEX`, never half a file under the name itself.
"""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgetl_runtime.errors import InputError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, replacing what is there."""
    with replacing_file(path) as aside:
        aside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8 with the line ends that the text has, replacing what is there."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write JSON, the keys in the order given. NaN and infinity raise ValueError, since JSON has neither.

    Names of files that are not valid UTF-8 are kept: their stray bytes are escaped.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it becomes `path`, on any failure it is removed.

    Raises:
        InputError: `path` is not a plain file, or the disk is full, or the place cannot be written to.
    """
    with _reporting(path), _parents(path):
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file and will not be replaced. Choose another name.")
        aside = _aside(path)
        try:
            yield aside
            _sync(aside)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _sync(path.parent)


@contextmanager
def replacing_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a new folder beside `path` to fill; on success it becomes `path`, on any failure it is removed.

    Overwriting takes two renames: whoever is killed between them finds the old folder under its hidden name.

    Raises:
        InputError: `path` exists and `overwrite` is false, the disk is full, or it may not be written.
    """
    with _reporting(path), _parents(path):
        _refuse_existing(path, overwrite)
        aside = _aside(path)
        try:
            aside.mkdir()
            yield aside
            for folder, _, files in os.walk(aside):
                for name in files:
                    _sync(Path(folder, name))
                _sync(Path(folder))
            _refuse_existing(path, overwrite)
            _swap_in(aside, path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _sync(path.parent)


def refuse_place(path: Path) -> None:
    """Refuse a place where nothing new can be written, before any work is done for it.

    Raises:
        InputError: it is taken, or the nearest folder above it that exists may not be written.
    """
    if os.path.lexists(path):
        raise InputError(f"{str(path)!r} exists already. Choose another --out, or remove it.")
    refuse_unwritable(path)


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder, there or to be made, that files cannot be written into.

    Raises:
        InputError: it, or the nearest one above it that exists, is no folder or may not be written.
    """
    place = folder.absolute()
    there = next(one for one in (place, *place.parents) if os.path.lexists(one))
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"Nothing can be written in {str(there)!r}. Choose another --out.")


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise InputError(f"{path} exists already. Choose another name, or ask to overwrite it.")
    if path.is_symlink() or not path.is_dir():
        raise InputError(f"{path} is not a folder and will not be replaced. Choose another name.")


def _swap_in(aside: Path, path: Path) -> None:
    if not path.exists():
        aside.rename(path)
        return
    old = _aside(path)
    path.rename(old)
    try:
        aside.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _aside(path: Path) -> Path:
    """Name a hidden sibling: the same folder, since a rename is atomic within one file system only."""
    if path.name in ("", ".."):
        raise InputError(f"{path} has no name of its own to write to. Give the path with a name at its end.")
    return path.with_name(f".{path.name[:60]}.{secrets.token_hex(6)}")


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders.
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # CIFS and some FUSE file systems cannot sync folders.
            raise
    finally:
        os.close(handle)


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Make the folders above `path`; on failure remove those that were made here."""
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """Turn a full disk or a place that refuses us, wherever it showed, into an `InputError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            what = f"No space left on the disk of {path.parent}; nothing was written."
            raise InputError(f"{what} Free some, or write elsewhere.") from error
        if error.errno in _NOT_ALLOWED:
            what = f"{path} cannot be written ({error}); nothing was written."
            raise InputError(f"{what} Check the permissions, or write elsewhere.") from error
        raise
