"""Eviction: the oldest go first, what is in use stays, and nobody sees half a store."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgetl import eviction
from edgetl.cache import Store
from edgetl.eviction import cap_bytes, evict, list_stores, make_room, room_bytes, spare_bytes
from edgetl_runtime import atomic
from edgetl_runtime.errors import InputError

KEY = "ab" * 32


def fill(folder: Path, used: float, megabytes: float = 1.0) -> Path:
    """Make a store of some size, last used at a time."""
    count = int(megabytes * 250_000)
    store = Store(folder, [count], "float32", {"backbone": folder.name})
    with store.writer() as writer:
        writer.append([KEY], np.zeros((1, count)))
    os.utime(folder / "use", (used, used))
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_least_recently_used_go_until_the_new_rows_fit(tmp_path: Path) -> None:
    for used, name in enumerate(["c", "a", "b", "d"]):
        fill(tmp_path / name, used)
    gone = make_room(tmp_path, 500_000, 2_700_000)
    assert [one.folder.name for one in gone] == ["c", "a"]
    assert names(tmp_path) == ["b", "d"]


def test_nothing_goes_while_there_is_room(tmp_path: Path) -> None:
    fill(tmp_path / "a", 1)
    assert make_room(tmp_path, 500_000, 2_000_000) == []
    assert make_room(tmp_path / "not there", 1, 0) == []


def test_a_nearly_full_disk_evicts_like_the_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "a", 1)
    monkeypatch.setattr(eviction, "_free_bytes", lambda above: 100)
    assert len(make_room(tmp_path, 50, 10**12)) == 0
    assert len(make_room(tmp_path, 101, 10**12)) == 1


def test_room_is_what_is_free_or_may_go_under_the_cap_less_what_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "a", 1)
    fill(tmp_path / "b", 2)
    gc.collect()
    store = Store(tmp_path / "b", [250_000], "float32")
    sizes = {one.folder.name: one.bytes for one in list_stores(tmp_path)}
    monkeypatch.setattr(eviction, "_free_bytes", lambda above: 5_000_000)
    assert room_bytes(tmp_path, 10**12) == int(0.9 * (5_000_000 + sizes["a"]))
    assert room_bytes(tmp_path, 3_000_000) == 3_000_000 - sizes["b"]
    assert room_bytes(tmp_path, 0) == 0
    assert len(store.missing([KEY])) == 0


def test_spare_is_what_evicts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "a", 1)
    (one,) = list_stores(tmp_path)
    monkeypatch.setattr(eviction, "_free_bytes", lambda above: 5_000_000)
    assert spare_bytes(tmp_path, 10**12) == 4_500_000
    assert spare_bytes(tmp_path, 3_000_000) == 3_000_000 - one.bytes
    assert spare_bytes(tmp_path, 0) == 0


def test_an_open_store_and_its_rows_are_never_evicted(tmp_path: Path) -> None:
    fill(tmp_path / "a", 1, 0.1)
    gc.collect()
    store = Store(tmp_path / "a", [25_000], "float32")
    assert [one.in_use for one in list_stores(tmp_path)] == [True]
    assert not evict(tmp_path / "a")
    rows = store.rows([KEY])
    del store
    gc.collect()
    assert not evict(tmp_path / "a")  # The rows are mapped.
    assert rows.take(np.array([0])).shape == (1, 25_000)
    del rows
    gc.collect()
    assert evict(tmp_path / "a")
    assert names(tmp_path) == []


def test_a_store_in_use_by_another_process_stays(tmp_path: Path) -> None:
    fill(tmp_path / "a", 1, 0.1)
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgetl.cache import Store\n"
        f"store = Store(Path({str(tmp_path / 'a')!r}), [25_000], 'float32')\n"
        "print('open', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert make_room(tmp_path, 10**9, 0) == []
        other.communicate("")
    assert len(make_room(tmp_path, 10**9, 0)) == 1


def test_opening_a_store_makes_it_the_newest(tmp_path: Path) -> None:
    for used, name in enumerate(["a", "b"]):
        fill(tmp_path / name, used, 0.1)
    Store(tmp_path / "a", [25_000], "float32")
    assert [one.folder.name for one in list_stores(tmp_path)] == ["b", "a"]


def test_a_store_evicted_while_it_is_opened_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "a", 1, 0.1)
    gc.collect()
    flock, rivals = eviction.fcntl.flock, [lambda: evict(tmp_path / "a")]

    def overtaken(handle: int, kind: int) -> None:
        if kind == eviction.fcntl.LOCK_SH and rivals:
            assert rivals.pop()()
        flock(handle, kind)

    monkeypatch.setattr(eviction.fcntl, "flock", overtaken)
    store = Store(tmp_path / "a", [25_000], "float32", {"backbone": "a"})
    assert store.missing([KEY]) == [0]
    assert [one.facts["backbone"] for one in list_stores(tmp_path)] == ["a"]
    with store.writer() as writer:
        writer.append([KEY], np.ones((1, 25_000)))
    assert len(store.rows([KEY])) == 1


def test_a_store_evicted_between_its_folder_and_its_lock_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "a", 1, 0.1)
    gc.collect()
    real, rivals = os.open, [lambda: evict(tmp_path / "a")]

    def overtaken(path: str | Path, *how: int, **more: int) -> int:
        if path == tmp_path / "a" / "use" and rivals:
            assert rivals.pop()()
        return real(path, *how, **more)

    monkeypatch.setattr(eviction.os, "open", overtaken)
    store = Store(tmp_path / "a", [25_000], "float32", {"backbone": "a"})
    assert (rivals, store.missing([KEY])) == ([], [0])
    assert [one.facts["backbone"] for one in list_stores(tmp_path)] == ["a"]


def test_a_store_is_in_use_before_anything_is_written_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, evicted = atomic._sync, list[bool]()

    def overtaken(path: Path) -> None:
        evicted.append(evict(tmp_path / "a"))
        real(path)

    monkeypatch.setattr(atomic, "_sync", overtaken)
    Store(tmp_path / "a", [25_000], "float32", {"backbone": "a"})
    assert evicted == [False, False]  # store.json, and the folder that has it.
    assert names(tmp_path / "a") == ["store.json", "use"]


def test_two_evictions_at_once_delete_a_store_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process takes what the first one is just deleting for a leftover."""
    fill(tmp_path / "a", 1, 0.1)
    gc.collect()
    real, rivals = os.unlink, [lambda: eviction._delete_leftovers(tmp_path)]

    def overtaken(path: str, **more: int) -> None:
        if rivals:
            rivals.pop()()
        real(path, **more)

    monkeypatch.setattr(eviction.os, "unlink", overtaken)
    assert evict(tmp_path / "a")
    assert (rivals, names(tmp_path)) == ([], [])


@pytest.mark.parametrize("place", ["file", "file/store", "link"])
def test_a_place_where_no_store_can_be_is_named_with_what_to_do(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(
        InputError, match=rf"cannot be written in '.*{place}' \(.*name another folder in EDGETL_"
    ):
        Store(tmp_path / place, [1], "float32")


def test_what_a_killed_eviction_left_is_deleted(tmp_path: Path) -> None:
    fill(tmp_path / "a", 1, 0.1)
    fill(tmp_path / "b", 1, 0.1).rename(tmp_path / ".evicted.1234")
    assert [one.folder.name for one in list_stores(tmp_path)] == ["a"]
    make_room(tmp_path, 0, 10**9)
    assert names(tmp_path) == ["a"]


def test_a_damaged_description_hides_no_store(tmp_path: Path) -> None:
    (fill(tmp_path / "a", 1, 0.1) / "store.json").write_text("{", encoding="utf-8")
    (found,) = list_stores(tmp_path)
    assert (found.facts, found.bytes > 100_000) == ({}, True)


@pytest.mark.parametrize(("text", "expected"), [("", 20e9), ("0", 0), ("1.5", 1.5e9)])
def test_the_cap_is_in_gigabytes(text: str, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE_GB", text)
    assert cap_bytes() == expected


@pytest.mark.parametrize("text", ["much", "-1", "inf", "nan"])
def test_a_cap_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE_GB", text)
    with pytest.raises(InputError, match=f"EDGETL_CACHE_GB must be a number of gigabytes from 0.*'{text}'"):
        cap_bytes()
