"""Writes are whole or absent, whatever interrupts them."""

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetl_runtime.atomic import (
    refuse_place,
    refuse_unwritable,
    replacing_file,
    replacing_folder,
    write_bytes,
    write_json,
    write_text,
)
from edgetl_runtime.errors import InputError


def everything_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def fail_with(number: int):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_holds_exactly_the_bytes_that_were_written(tmp_path):
    write_bytes(tmp_path / "a.bin", b"\r\n\x00\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\r\n\x00\xff"
    assert everything_in(tmp_path) == ["a.bin"]


def test_text_keeps_its_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "é\r\n\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n\n".encode()


def test_a_file_that_exists_is_replaced(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_bytes(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_missing_folders_above_are_made(tmp_path):
    write_bytes(tmp_path / "a/b/c", b"x")
    with replacing_folder(tmp_path / "d/e/run") as folder:
        (folder / "f").write_bytes(b"y")
    assert everything_in(tmp_path) == ["a", "a/b", "a/b/c", "d", "d/e", "d/e/run", "d/e/run/f"]


@pytest.mark.parametrize(
    "error", [RuntimeError("in the middle"), KeyboardInterrupt(), OSError(errno.EIO, "disk")]
)
def test_a_failure_in_the_middle_of_a_file_leaves_the_old_one(tmp_path, error):
    write_bytes(tmp_path / "a", b"old")
    with pytest.raises(type(error)), replacing_file(tmp_path / "a") as aside:
        aside.write_bytes(b"half of the ne")
        raise error
    assert (tmp_path / "a").read_bytes() == b"old"
    assert everything_in(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "error", [RuntimeError("in the middle"), KeyboardInterrupt(), OSError(errno.EIO, "disk")]
)
def test_a_failure_in_the_middle_of_a_folder_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)), replacing_folder(tmp_path / "deep/run") as folder:
        (folder / "logs").mkdir()
        (folder / "logs/half").write_bytes(b"x")
        raise error
    assert everything_in(tmp_path) == []


def test_a_failure_while_overwriting_leaves_the_old_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/old").write_bytes(b"x")
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "run", overwrite=True) as folder:
        (folder / "new").write_bytes(b"y")
        raise RuntimeError
    assert everything_in(tmp_path) == ["run", "run/old"]


def test_a_failing_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/old").write_bytes(b"x")
    rename = Path.rename

    def fail_into_place(self: Path, target: Path) -> Path:
        if target == tmp_path / "run" and (self / "new").exists():
            raise OSError(errno.EIO, "disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_into_place)
    with pytest.raises(OSError, match="disk"), replacing_folder(tmp_path / "run", overwrite=True) as folder:
        (folder / "new").write_bytes(b"y")
    assert everything_in(tmp_path) == ["run", "run/old"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", fail_with(number))
    folder = tmp_path / "deep"
    message = f"No space left on the disk of {folder}; nothing was written. Free some, or write elsewhere."
    with pytest.raises(InputError) as caught:
        write_bytes(tmp_path / "deep/a", b"x")
    assert str(caught.value) == message
    with pytest.raises(InputError) as caught, replacing_folder(tmp_path / "deep/run") as folder:
        (folder / "f").write_bytes(b"x")
    assert str(caught.value) == message
    assert everything_in(tmp_path) == []


def test_a_disk_that_fills_while_the_folder_is_filled_is_reported_alike(tmp_path):
    with pytest.raises(InputError, match="nothing was written"), replacing_folder(tmp_path / "run"):
        fail_with(errno.ENOSPC)()
    assert everything_in(tmp_path) == []


def test_other_errors_of_the_caller_are_not_disguised(tmp_path):
    with pytest.raises(FileNotFoundError), replacing_folder(tmp_path / "run"):
        (tmp_path / "not there").read_bytes()


def test_a_place_that_refuses_us_is_bad_input(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot be written .*Check the permissions, or write elsewhere\."):
        write_bytes(tmp_path / "file/below", b"x")
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path / ("n" * 300), b"x")


def test_a_file_system_that_cannot_sync_folders_is_usable(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail_with(errno.EINVAL))
    write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_folder_that_exists_is_refused_before_any_work(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError) as caught, replacing_folder(tmp_path / "run"):
        pytest.fail("The work must not begin.")
    assert (
        str(caught.value)
        == f"{tmp_path / 'run'} exists already. Choose another name, or ask to overwrite it."
    )


def test_a_folder_that_appeared_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(InputError, match="exists already"), replacing_folder(tmp_path / "run") as folder:
        (folder / "mine").write_bytes(b"x")
        (tmp_path / "run").mkdir()
        (tmp_path / "run/theirs").write_bytes(b"y")
    assert everything_in(tmp_path) == ["run", "run/theirs"]


def test_overwriting_swaps_the_whole_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/old").write_bytes(b"x")
    with replacing_folder(tmp_path / "run", overwrite=True) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".run")
        (folder / "new").write_bytes(b"y")
    assert everything_in(tmp_path) == ["run", "run/new"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_never_replaces_a_file_or_a_link(tmp_path, overwrite):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(InputError), replacing_folder(tmp_path / name, overwrite=overwrite):
            pytest.fail("The work must not begin.")


def test_a_file_never_replaces_a_folder_or_a_device(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", Path(os.devnull)):
        with pytest.raises(InputError, match="is not a file and will not be replaced"):
            write_bytes(path, b"x")


@pytest.mark.parametrize("path", [".", "..", "/"])
def test_a_path_without_a_name_is_refused(path):
    with (
        pytest.raises(InputError, match="has no name of its own"),
        replacing_folder(Path(path), overwrite=True),
    ):
        pytest.fail("The work must not begin.")


def test_every_file_is_synced_before_the_rename(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def record(handle: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{handle}").readlink()), (tmp_path / "run").exists()))
        sync(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to name an open file")
    monkeypatch.setattr(os, "fsync", record)
    with replacing_folder(tmp_path / "run") as folder:
        (folder / "sub").mkdir()
        (folder / "sub/a").write_bytes(b"x")
        aside = str(folder)
    assert synced == [
        (aside, False),
        (f"{aside}/sub/a", False),
        (f"{aside}/sub", False),
        (str(tmp_path), True),
    ]


def test_json_keeps_the_order_of_keys_and_is_readable(tmp_path):
    write_json(tmp_path / "a.json", {"b": ["é"], "a": None})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "b": [\n    "é"\n  ],\n  "a": null\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_json_lacks_and_writes_nothing(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", [value])
    assert everything_in(tmp_path) == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(value=anything)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, value)
    assert json.loads(path.read_text("utf-8")) == value


def test_json_keeps_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_json(tmp_path / "a.json", [name])
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [name]


@pytest.mark.parametrize("taken", ["file", "folder", "link to nothing"])
def test_a_place_that_is_taken_is_refused_before_any_work(tmp_path, taken):
    place = tmp_path / "out"
    {"file": place.touch, "folder": place.mkdir, "link to nothing": lambda: place.symlink_to("nowhere")}[
        taken
    ]()
    with pytest.raises(InputError, match=r"out' exists already\. Choose another --out, or remove it\."):
        refuse_place(place)


def test_a_place_below_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"Nothing can be written in '.*file'\. Choose another --out\."):
        refuse_place(tmp_path / "file" / "folder" / "out")
    refuse_place(tmp_path / "new" / "folder" / "out")
    assert everything_in(tmp_path) == ["file"]


def test_a_folder_that_is_there_may_be_written_into_and_a_file_may_not(tmp_path):
    (tmp_path / "file").touch()
    refuse_unwritable(tmp_path)
    refuse_unwritable(tmp_path / "new")
    with pytest.raises(InputError, match=r"Nothing can be written in '.*file'\."):
        refuse_unwritable(tmp_path / "file")
