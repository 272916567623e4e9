"""Which of the cache's stores go when it is full: the least recently used, never one in use.

Who uses a store holds a shared lock on its file `use`, whose time says when it was last opened. Who evicts
takes the exclusive lock, renames the store away, then deletes it: nobody ever sees a half-deleted store.
"""

import fcntl
import json
import os
import secrets
import shutil
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetl_runtime.errors import InputError

_USE = "use"
_EVICTED = ".evicted."
_DEFAULT_CAP_GB = 20.0
# Of the free disk, for rows; the rest is for checkpoints, the run, and everybody else.
_DISK_SHARE = 0.9
# More often in a row than this, no store is evicted while it is opened: its place cannot be had.
_OPENINGS = 1000


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """A store as it lies on the disk.

    bytes: of all its files. used: when it was last opened, in seconds since 1970. in_use: some process has
    it open. facts: what its rows are, from `store.json`; empty where that file is damaged.
    """

    folder: Path
    bytes: int
    used: float
    in_use: bool
    facts: Mapping[str, Any]


class Lease:
    """Keeps a store from being evicted as long as this object lives; makes its folder.

    Raises:
        InputError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            handle = _open_shared(folder)
        except OSError as error:
            raise InputError(
                f"The feature cache cannot be written in {str(folder)!r} ({error}). Check its permissions "
                "and the free disk, or name another folder in EDGETL_CACHE."
            ) from error
        os.utime(folder / _USE)
        weakref.finalize(self, os.close, handle)


def cap_bytes() -> int:
    """Return how large the cache may grow: $EDGETL_CACHE_GB in units of 10⁹ bytes, 20 where it is not set.

    Raises:
        InputError: it is no number from 0.
    """
    text = os.environ.get("EDGETL_CACHE_GB") or str(_DEFAULT_CAP_GB)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise InputError(f"EDGETL_CACHE_GB must be a number of gigabytes from 0, such as 20, got {text!r}.")
    return int(gigabytes * 1e9)


def list_stores(above: Path) -> list[StoreInfo]:
    """List the stores in a folder, the least recently used first."""
    if not above.is_dir():
        return []
    folders = [path for path in above.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [info for folder in folders if (info := _describe(folder)) is not None]
    return sorted(found, key=lambda one: one.used)


def make_room(above: Path, needed_bytes: int, cap: int) -> list[StoreInfo]:
    """Evict stores until `needed_bytes` more fit under the cap and on the disk; return what went.

    What is in use stays, even above the cap: a job that needs more than the cap is not stopped for it.
    """
    _delete_leftovers(above)
    stores = list_stores(above)
    total = sum(one.bytes for one in stores)
    limit = min(cap, total + _free_bytes(above))
    gone = []
    for one in stores:
        if total + needed_bytes <= limit:
            break
        if evict(one.folder):
            total -= one.bytes
            gone.append(one)
    return gone


def room_bytes(above: Path, cap: int) -> int:
    """Return how many bytes one job may fill: what is free or may be evicted, under the cap."""
    stores = list_stores(above)
    in_use = sum(one.bytes for one in stores if one.in_use)
    evictable = sum(one.bytes for one in stores if not one.in_use)
    return max(0, min(cap - in_use, int(_DISK_SHARE * (_free_bytes(above) + evictable))))


def spare_bytes(above: Path, cap: int) -> int:
    """Return how many bytes fit without evicting anything."""
    total = sum(one.bytes for one in list_stores(above))
    return max(0, min(cap - total, int(_DISK_SHARE * _free_bytes(above))))


def evict(folder: Path) -> bool:
    """Delete a store unless it is in use; tell whether it went."""
    try:
        handle = os.open(folder / _USE, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:  # Another process was faster.
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_file(handle, folder / _USE):
            return False
        aside = folder.with_name(f"{_EVICTED}{secrets.token_hex(6)}")
        folder.rename(aside)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    _delete(aside)
    return True


def _open_shared(folder: Path) -> int:
    """Lock a store for use; the store may be evicted until the lock is there, and is then made anew."""
    evictions = 0
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / _USE, os.O_RDWR | os.O_CREAT)
        except (FileExistsError, FileNotFoundError):  # It went after it was seen, or made.
            evictions += 1
            if evictions == _OPENINGS:
                raise
            continue
        fcntl.flock(handle, fcntl.LOCK_SH)
        if _is_file(handle, folder / _USE):
            return handle
        os.close(handle)


def _is_file(handle: int, path: Path) -> bool:
    """Tell whether the open file is still the one at `path`, and not one that was evicted."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _describe(folder: Path) -> StoreInfo | None:
    try:
        status = [path.stat() for path in folder.iterdir()]
        used = (folder / _USE).stat().st_mtime if (folder / _USE).exists() else folder.stat().st_mtime
    except FileNotFoundError:  # Evicted by another process meanwhile.
        return None
    return StoreInfo(folder, sum(one.st_size for one in status), used, _is_in_use(folder), _facts(folder))


def _facts(folder: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_in_use(folder: Path) -> bool:
    try:
        handle = os.open(folder / _USE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _delete(folder: Path) -> None:
    """Delete a folder; another process may take it for a leftover and delete it as well."""
    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def _delete_leftovers(above: Path) -> None:
    """Delete what a process that was killed while it evicted has left."""
    for path in above.glob(f"{_EVICTED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _free_bytes(above: Path) -> int:
    place = next(path for path in (above, *above.absolute().parents) if path.exists())
    return shutil.disk_usage(place).free
