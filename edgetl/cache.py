"""Arrays kept on disk under the hash of the picture they came from. Knows nothing about networks.

A store is a folder with rows of one shape and dtype in `rows.bin`, and the 32-byte hash of each in
`keys.bin`. Rows are synced before their keys, so whatever interrupts a write leaves only rows that nobody
names, and the next writer cuts them off. Processes share stores: writers lock, readers see what was there at
opening. An open store, and rows taken from it, keep it from being evicted: see `edgetl.eviction`.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.eviction import Lease
from edgetl_runtime.atomic import write_json
from edgetl_runtime.errors import InputError

_KEY_BYTES = 32
_KEY = np.dtype(f"S{_KEY_BYTES}")  # Of equal lengths, so that numpy's padding of such texts changes nothing.
# What a kill may cost: so many bytes, or seconds.
_FLUSH_BYTES, _FLUSH_S = 64 << 20, 10.0


class NoSpace(InputError):
    """The disk that holds the cache is full."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a store, in the order of the pictures they were asked for.

    array: the store's rows, memory-mapped, (rows, ...). order: (n,) int64, which of them. lease: keeps the
    store as long as its rows are used.
    """

    array: NDArray[Any]
    order: NDArray[np.int64]
    lease: Lease | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process map the same file; rows in memory are sent."""
        if not isinstance(self.array, np.memmap):
            return Rows, (self.array, self.order)
        return _mapped, (self.array.filename, self.array.dtype, self.array.shape, self.order)

    def take(self, chosen: NDArray[np.int64]) -> NDArray[Any]:
        """Copy the chosen rows, (len(chosen), ...), into memory."""
        return np.take(np.asarray(self.array), self.order[chosen], axis=0)


class Store:
    """Rows of one shape and dtype, each under a hash.

    Args:
        folder: where it lies or will be made.
        shape: of one row. dtype: of its numbers.
        facts: what the rows are, written beside them for the curious.

    Raises:
        InputError: the folder cannot be made or written.
    """

    def __init__(
        self, folder: Path, shape: Sequence[int], dtype: str, facts: Mapping[str, object] | None = None
    ) -> None:
        self._folder, self._shape, self._dtype = folder, tuple(shape), np.dtype(dtype)
        self._facts = dict(facts or {})
        self._row_bytes = int(np.prod(self._shape)) * self._dtype.itemsize
        layout = {"shape": list(self._shape), "dtype": self._dtype.name}
        self._lease = Lease(folder)  # Before anything is written there: until then it may be evicted.
        self._describe(layout | self._facts)
        self._rows, self._keys = folder / "rows.bin", folder / "keys.bin"

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process open the same folder."""
        return Store, (self._folder, self._shape, self._dtype.name, self._facts)

    def _describe(self, facts: Mapping[str, object]) -> None:
        if not (self._folder / "store.json").exists():
            write_json(self._folder / "store.json", facts)

    @property
    def row_bytes(self) -> int:
        """How many bytes a row takes."""
        return self._row_bytes

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Return the positions of the keys (64 hex digits each) that have no row yet, one for each key."""
        wanted = _packed(keys)
        absent = np.flatnonzero(_places(self._known(), wanted) < 0)
        _, first = np.unique(wanted[absent], return_index=True)
        return sorted(absent[first].tolist())

    @contextmanager
    def writer(self) -> Iterator["Writer"]:
        """Lock the store for writing; other writers wait. What was written stays when the block fails.

        Raises:
            NoSpace: the disk is full.
        """
        with _reporting_full_disk(self._folder), (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._cut_torn_end()
            # Without buffers: closing would try again to write what a full disk has refused.
            with self._rows.open("ab", buffering=0) as rows, self._keys.open("ab", buffering=0) as keys:
                writer = Writer(rows, keys, (self._shape, self._dtype), np.sort(self._known()))
                try:
                    yield writer
                finally:
                    writer.flush()

    def rows(self, keys: Sequence[str]) -> Rows:
        """Return the rows of these keys, all of which must be there."""
        known = self._known()
        order = _places(known, _packed(keys))
        if (order < 0).any():
            raise KeyError(keys[int(np.argmin(order))])
        if not len(known):
            return Rows(np.empty((0, *self._shape), self._dtype), order, self._lease)
        rows = np.memmap(self._rows, self._dtype, "r", shape=(len(known), *self._shape))
        return Rows(rows, order, self._lease)

    def _known(self) -> NDArray[Any]:
        """Read the keys of all complete rows, (rows,), in the order of the rows."""
        keys = self._keys.read_bytes() if self._keys.exists() else b""
        return np.frombuffer(keys[: self._complete(len(keys)) * _KEY_BYTES], _KEY)

    def _complete(self, keys_bytes: int) -> int:
        rows_bytes = _size(self._rows)
        return min(keys_bytes // _KEY_BYTES, rows_bytes // self._row_bytes)

    def _cut_torn_end(self) -> None:
        count = self._complete(_size(self._keys))
        for path, size in ((self._rows, self._row_bytes), (self._keys, _KEY_BYTES)):
            path.touch()
            os.truncate(path, count * size)


class Writer:
    """Appends to a store; keys are written once their rows are safe on the disk.

    known: the sorted keys that have a row; a set of a million keys would take a gigabyte for eight stores.
    """

    def __init__(
        self,
        rows: FileIO,
        keys: FileIO,
        layout: tuple[tuple[int, ...], np.dtype[Any]],
        known: NDArray[Any],
    ) -> None:
        self._rows, self._keys, self._known = rows, keys, known
        self._shape, self._dtype = layout
        self._pending: dict[bytes, None] = {}
        self._pending_bytes, self._flushed = 0, time.monotonic()

    def append(self, keys: Sequence[str], rows: NDArray[Any]) -> None:
        """Write rows, (len(keys), ...), except those whose key is there already."""
        if rows.shape != (len(keys), *self._shape):
            raise ValueError(f"{len(keys)} rows of shape {self._shape} expected, got {rows.shape}")
        there = _contains(self._known, _packed(keys))
        for key, known, row in zip(map(bytes.fromhex, keys), there, rows.astype(self._dtype), strict=True):
            if known or key in self._pending:
                continue
            _write(self._rows, row.tobytes())
            self._pending[key] = None
            self._pending_bytes += row.nbytes
        if self._pending_bytes > _FLUSH_BYTES or time.monotonic() - self._flushed >= _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Sync the rows, then name them."""
        os.fsync(self._rows.fileno())
        _write(self._keys, b"".join(self._pending))
        os.fsync(self._keys.fileno())
        new = np.sort(np.frombuffer(b"".join(self._pending), _KEY))
        self._known = np.insert(self._known, np.searchsorted(self._known, new), new)
        self._pending, self._pending_bytes, self._flushed = {}, 0, time.monotonic()


def _mapped(path: str, dtype: np.dtype[Any], shape: tuple[int, ...], order: NDArray[np.int64]) -> Rows:
    return Rows(np.memmap(path, dtype, "r", shape=shape), order)


def _size(path: Path) -> int:
    """Return the size of a file, 0 where there is none; on a network drive only opening it tells."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0


def _packed(keys: Sequence[str]) -> NDArray[Any]:
    return np.frombuffer(bytes.fromhex("".join(keys)), _KEY)


def _places(known: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each wanted key is first among the known ones, or -1."""
    if not len(known):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(known, kind="stable")
    places = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    found: NDArray[np.int64] = np.where(known[order[places]] == wanted, order[places], -1)
    return found


def _contains(ordered: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(wanted), np.bool_)
    places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    there: NDArray[np.bool_] = ordered[places] == wanted
    return there


def _write(file: FileIO, data: bytes) -> None:
    """Write all of it: a disk that fills up takes a part before it refuses the rest."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


@contextmanager
def _reporting_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoSpace(
            f"No space left for the feature cache in {str(folder)!r}. Free some, or name another folder in "
            "EDGETL_CACHE; what was computed so far is kept."
        ) from error
