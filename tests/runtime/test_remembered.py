import os
from pathlib import Path

import pytest

from edgetl_runtime import remembered
from edgetl_runtime.remembered import MAX_BUNDLES, Memory, cache_folder


def test_the_folder_is_the_users_or_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("EDGETL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/edgetl")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "edgetl"


def test_a_value_is_found_under_the_same_facts_only(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "new", {"driver": "1.0"})
    assert memory.read("proof", device="cpu") is None
    memory.write("proof", [1, {"a": 0.5}], device="cpu")
    assert Memory(tmp_path / "new", {"driver": "1.0"}).read("proof", device="cpu") == [1, {"a": 0.5}]
    assert memory.read("choice", device="cpu") is None
    assert memory.read("proof", device="npu") is None
    assert Memory(tmp_path / "new", {"driver": "1.1"}).read("proof", device="cpu") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[NaN]", b"[" * 10_000])
def test_a_damaged_value_is_unknown(tmp_path: Path, damage: bytes) -> None:
    memory = Memory(tmp_path, {})
    memory.write("proof", [1])
    [file] = tmp_path.iterdir()
    file.write_bytes(damage)
    assert memory.read("proof") is None
    memory.write("proof", [2])
    assert memory.read("proof") == [2]


def test_a_value_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(tmp_path, {})
    memory.write("proof", "long")
    monkeypatch.setattr(remembered, "MAX_BYTES", 5)
    assert memory.read("proof") is None


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    memory = Memory(tmp_path / "file" / "folder", {})
    memory.write("proof", [1])
    assert memory.read("proof") is None
    assert memory.place("compiled") is None
    nowhere = Memory(None)
    nowhere.write("proof", [1])
    assert (nowhere.read("proof"), nowhere.place("compiled")) == (None, None)


def test_the_bundles_used_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path))
    for number in range(MAX_BUNDLES + 3):
        place = Memory.of(f"bundle{number}", {}).place("compiled")
        assert place is not None
        os.utime(place.parent, (number, number))
    kept = {path.name for path in (tmp_path / "bundles").iterdir()}
    assert kept == {f"bundle{number}" for number in range(3, MAX_BUNDLES + 3)}
