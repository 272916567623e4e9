"""The cache: what is written is read back, whatever interrupted a write."""

import errno
import hashlib
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgetl import cache
from edgetl.cache import Rows, Store
from edgetl_runtime.errors import InputError
from edgetl_runtime.remembered import cache_folder

SHAPE = (2, 3)
ROW, KEY = 24, 32  # bytes


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def row(number: int) -> NDArray[np.float32]:
    return (10 * number + np.arange(6)).reshape(SHAPE).astype(np.float32)


def open_store(folder: Path) -> Store:
    return Store(folder, SHAPE, "float32", {"what": "numbers"})


def append(store: Store, *numbers: int) -> None:
    with store.writer() as writer:
        writer.append([key(n) for n in numbers], np.stack([row(n) for n in numbers]))


def read(store: Store, *numbers: int) -> list[float]:
    """Return the rows by the number that made them."""
    found = store.rows([key(n) for n in numbers])
    taken = found.take(np.arange(len(found)))
    assert np.array_equal(taken - taken[:, :1, :1], np.broadcast_to(row(0), taken.shape))
    return [float(one[0, 0]) / 10 for one in taken]


def sizes(folder: Path) -> tuple[int, int]:
    return (folder / "rows.bin").stat().st_size, (folder / "keys.bin").stat().st_size


def test_rows_are_read_back_in_the_order_asked_for(tmp_path: Path) -> None:
    append(open_store(tmp_path), 1, 2, 3)
    append(open_store(tmp_path), 4)
    assert read(open_store(tmp_path), 3, 1, 4, 3) == [3, 1, 4, 3]


def test_chosen_rows_are_taken_in_their_order(tmp_path: Path) -> None:
    append(open_store(tmp_path), 1, 2, 3)
    rows = open_store(tmp_path).rows([key(3), key(2), key(1)])
    taken = rows.take(np.array([2, 0]))
    assert np.array_equal(taken, np.stack([row(1), row(3)]))
    assert taken.dtype == np.float32
    taken[:] = 0  # A copy: the store keeps its rows.
    assert read(open_store(tmp_path), 1) == [1]


def test_an_empty_store_has_no_rows(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    rows = store.rows([])
    assert (len(rows), rows.take(np.array([], np.int64)).shape) == (0, (0, *SHAPE))
    assert store.missing([key(1)]) == [0]
    with pytest.raises(KeyError):
        store.rows([key(1)])


def test_what_has_no_row_is_missing_and_each_key_once(tmp_path: Path) -> None:
    append(open_store(tmp_path), 2)
    assert open_store(tmp_path).missing([key(n) for n in (3, 2, 1, 3, 1)]) == [0, 2]


def test_a_key_is_written_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    append(store, 1, 2, 1)
    with store.writer() as writer:
        writer.append([key(2), key(3)], np.stack([row(9), row(3)]))
        writer.append([key(3)], row(9)[None])
    assert sizes(tmp_path) == (3 * ROW, 3 * KEY)
    assert read(store, 1, 2, 3) == [1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        (b"x" * ROW, b""),
        (b"x" * 5, b""),
        (b"x" * ROW, b"y" * (KEY - 1)),
        (b"x" * 5, b"y" * KEY),
        (b"x" * (ROW + 5), b"y" * KEY),
    ],
    ids=["no key", "half a row", "half a key", "half a row with a key", "a row nobody asks for, and a half"],
)
def test_a_torn_end_is_cut_and_written_again(rows: bytes, keys: bytes, tmp_path: Path) -> None:
    append(open_store(tmp_path), 1, 2)
    for name, torn in (("rows.bin", rows), ("keys.bin", keys)):
        with (tmp_path / name).open("ab") as file:
            file.write(torn)
    store = open_store(tmp_path)
    assert store.missing([key(n) for n in (1, 2, 3)]) == [2]
    assert read(store, 2, 1) == [2, 1]
    append(store, 3)
    assert read(store, 3, 2, 1) == [3, 2, 1]
    whole = 4 if len(rows) > ROW else 3
    assert sizes(tmp_path) == (whole * ROW, whole * KEY)


def test_keys_whose_rows_are_lost_are_cut(tmp_path: Path) -> None:
    append(open_store(tmp_path), 1, 2, 3)
    with (tmp_path / "rows.bin").open("r+b") as file:
        file.truncate(ROW + 20)
    store = open_store(tmp_path)
    assert store.missing([key(n) for n in (1, 2, 3)]) == [1, 2]
    append(store, 3, 2)
    assert read(store, 1, 2, 3) == [1, 2, 3]


def test_what_was_written_before_a_failure_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.writer() as writer:
        writer.append([key(1)], row(1)[None])
        raise ZeroDivisionError
    assert read(store, 1) == [1]


def filling(room: int, *files: str) -> Callable[[FileIO, bytes], None]:
    """Write as `cache._write` does, on a disk with room for so many bytes more in these files."""
    left = room

    def write(file: FileIO, data: bytes) -> None:
        nonlocal left
        if Path(file.name).name not in files:
            file.write(data)
            return
        written = file.write(data[:left])
        left -= written
        if written < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")

    return write


@pytest.mark.parametrize(
    ("room", "files", "kept"),
    [
        (2 * ROW, ("rows.bin",), [2, 3]),
        (2 * ROW + 7, ("rows.bin",), [2, 3]),
        (2 * ROW + 7, ("rows.bin", "keys.bin"), []),
        (KEY + 7, ("keys.bin",), [2]),
        (0, ("rows.bin", "keys.bin"), []),
    ],
)
def test_a_full_disk_is_told_and_earlier_rows_are_kept(
    room: int, files: tuple[str, ...], kept: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(open_store(tmp_path), 1)
    monkeypatch.setattr(cache, "_write", filling(room, *files))
    store = open_store(tmp_path)
    with pytest.raises(InputError, match=r"No space left for the feature cache in .*EDGETL_CACHE"):
        append(store, 2, 3, 4)
    monkeypatch.undo()
    assert [n for n in (2, 3, 4) if not store.missing([key(n)])] == kept
    assert read(store, 1, *kept) == [1, *kept]
    append(store, 2, 3, 4)
    assert read(store, 4, 3, 2, 1) == [4, 3, 2, 1]


def test_another_error_of_the_disk_is_not_called_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: FileIO, data: bytes) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(cache, "_write", fail)
    with pytest.raises(OSError, match="Input/output error"):
        append(open_store(tmp_path), 1)


APPENDING = """
import sys
import numpy as np
from pathlib import Path
from edgetl.cache import Store

store = Store(Path(sys.argv[1]), (2, 3), "float32")
for number in (*range(40), *range(int(sys.argv[2]), int(sys.argv[2]) + 40)):
    with store.writer() as writer:
        writer.append([f"{number:064x}"], np.full((1, 2, 3), number))
"""


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each appends 40 rows that the others append as well, and 40 of its own."""
    starts = (1000, 2000, 3000)
    command = [sys.executable, "-c", APPENDING, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(start)]) for start in starts]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    numbers = [*range(40), *(start + n for start in starts for n in range(40))]
    assert sizes(tmp_path) == (160 * ROW, 160 * KEY)
    rows = open_store(tmp_path).rows([f"{number:064x}" for number in numbers])
    assert rows.take(np.arange(160))[:, 1, 2].tolist() == numbers


def test_a_writer_waits_for_the_one_before(tmp_path: Path) -> None:
    store, order = open_store(tmp_path), []

    def second() -> None:
        with open_store(tmp_path).writer():
            order.append("second")

    with store.writer():
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.1)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_rows_of_another_shape_are_a_fault_of_the_caller(tmp_path: Path) -> None:
    with open_store(tmp_path).writer() as writer, pytest.raises(ValueError, match=r"got \(1, 3, 2\)"):
        writer.append([key(1)], np.zeros((1, 3, 2)))


def test_many_bytes_are_named_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_FLUSH_BYTES", 2 * ROW - 1)
    with open_store(tmp_path).writer() as writer:
        writer.append([key(1), key(2)], np.stack([row(1), row(2)]))
        assert open_store(tmp_path).missing([key(1), key(2)]) == []
        writer.append([key(3)], row(3)[None])
        assert open_store(tmp_path).missing([key(3)]) == [0]


def test_rows_are_named_after_a_while_however_few_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is killed without warning loses that while, not all rows until there are many bytes."""
    now = iter([100.0, 109.9, 110.0, 110.0, 110.0])
    monkeypatch.setattr(cache.time, "monotonic", lambda: next(now))
    with open_store(tmp_path).writer() as writer:
        writer.append([key(1)], row(1)[None])
        assert open_store(tmp_path).missing([key(1)]) == [0]
        writer.append([key(2)], row(2)[None])
        assert open_store(tmp_path).missing([key(1), key(2)]) == []


def test_what_the_rows_are_is_written_beside_them(tmp_path: Path) -> None:
    open_store(tmp_path)
    assert json.loads((tmp_path / "store.json").read_text()) == {
        "shape": [2, 3],
        "dtype": "float32",
        "what": "numbers",
    }


def test_the_folder_is_the_one_asked_for_or_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("EDGETL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/edgetl")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "edgetl"


def test_another_process_maps_the_same_rows_and_opens_the_same_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", (2,), "float16", {"view": "plain"})
    keys = [f"{number:064x}" for number in range(3)]
    with store.writer() as writer:
        writer.append(keys, np.arange(6, dtype=np.float16).reshape(3, 2))
    rows = store.rows(keys[::-1])
    sent = pickle.loads(pickle.dumps(rows))
    assert isinstance(sent.array, np.memmap)
    assert sent.take(np.arange(3)).tolist() == rows.take(np.arange(3)).tolist() == [[4, 5], [2, 3], [0, 1]]
    again = pickle.loads(pickle.dumps(store))
    assert again.missing(keys) == []
    assert again.row_bytes == store.row_bytes


def test_rows_in_memory_are_sent() -> None:
    rows = Rows(np.arange(6).reshape(3, 2), np.array([2, 0]))
    assert pickle.loads(pickle.dumps(rows)).take(np.arange(2)).tolist() == [[4, 5], [0, 1]]
