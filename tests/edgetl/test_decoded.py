"""Decoded pictures: the same pixels whether decoded or read, kept where that pays and where there is room."""

import errno
import hashlib
import json
import os
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from edgetl_factories import colour_picture
from numpy.typing import NDArray

from edgetl import cache, decoded
from edgetl_runtime.errors import PictureError
from edgetl_runtime.pictures import Picture
from edgetl_runtime.preprocess import Preprocess

SMALL = Preprocess(32, 1.0, "bilinear")
ROW = 32 * 32 * 3
ROOM = 10**6


def pictures(folder: Path, count: int = 19) -> list[Picture]:
    return [colour_picture(folder / f"{n}.png", ("red", "green", "blue")[n % 3], n) for n in range(count)]


def dear(patch: pytest.MonkeyPatch) -> None:
    """Let every picture be worth keeping."""
    patch.setattr(decoded, "_DEAR_S", 0.0)


def look(cache: Path, given: list[Picture], room: int = ROOM) -> NDArray[np.uint8]:
    """Return the pixels of all batches."""
    found = list(decoded.decoded(cache, SMALL, given, room))
    assert [one for batch, _ in found for one in batch] == given
    return np.concatenate([images for _, images in found]) if found else np.empty((0, 32, 32, 3), np.uint8)


def expected(given: list[Picture]) -> NDArray[np.uint8]:
    return np.stack([SMALL(one.path) for one in given])


def test_pixels_are_those_of_the_preprocessing_a_batch_at_a_time(tmp_path: Path) -> None:
    given = pictures(tmp_path)
    assert [len(batch) for batch, _ in decoded.decoded(tmp_path / "c", SMALL, given, ROOM)] == [16, 3]
    assert np.array_equal(look(tmp_path / "c", given), expected(given))
    assert len(look(tmp_path / "c", [])) == 0


def test_a_picture_that_was_overwritten_since_it_was_indexed_is_refused(tmp_path: Path) -> None:
    given = pictures(tmp_path, 2)
    times = given[1].path.stat()
    colour_picture(given[1].path, "blue", 99)
    os.utime(given[1].path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(PictureError, match=r"1\.png' has changed since the pictures were read\. Leave"):
        look(tmp_path / "c", given)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    """Without `check`, an index has the hash of anything."""
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    given = [Picture(path, hashlib.sha256(b"no picture").hexdigest(), ("red",))]
    with pytest.raises(PictureError, match=r"broken\.png' is "):
        look(tmp_path / "c", given)


def test_what_was_dear_to_decode_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear(monkeypatch)
    given = pictures(tmp_path)
    truth = expected(given)
    assert np.array_equal(look(tmp_path / "c", given[5:10]), truth[5:10])
    for one in given[5:10]:
        one.path.unlink()
    assert np.array_equal(look(tmp_path / "c", given), truth)
    for one in given[:5] + given[10:]:
        one.path.unlink()
    assert np.array_equal(look(tmp_path / "c", given[::-1]), truth[::-1])
    (facts,) = (tmp_path / "c").glob("*/store.json")
    assert json.loads(facts.read_text())["preprocess"] == SMALL.to_steps()


def test_other_pixels_have_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dear(monkeypatch)
    given = pictures(tmp_path, 3)
    look(tmp_path / "c", given)
    other = Preprocess(32, 0.5, "bilinear")
    ((_, images),) = decoded.decoded(tmp_path / "c", other, given, ROOM)
    assert np.array_equal(images, np.stack([other(one.path) for one in given]))
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_what_is_decoded_in_no_time_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "_DEAR_S", 60.0)
    look(tmp_path / "c", pictures(tmp_path))
    assert not (tmp_path / "c").exists()


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dear(monkeypatch)
    given = pictures(tmp_path)
    look(tmp_path / "c", given, 4 * ROW - 1)
    (rows,) = (tmp_path / "c").glob("*/rows.bin")
    assert rows.stat().st_size == 3 * ROW
    assert np.array_equal(look(tmp_path / "none", given, -5), expected(given))
    assert not (tmp_path / "none").exists()


def test_many_bytes_are_written_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dear(monkeypatch)
    monkeypatch.setattr(decoded, "_BUFFER_BYTES", 16 * ROW - 1)
    batches = decoded.decoded(tmp_path / "c", SMALL, pictures(tmp_path), ROOM)
    next(batches)
    (rows,) = (tmp_path / "c").glob("*/rows.bin")
    assert rows.stat().st_size == 16 * ROW
    batches.close()


def test_who_stops_half_way_keeps_what_was_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dear(monkeypatch)
    batches = decoded.decoded(tmp_path / "c", SMALL, pictures(tmp_path), ROOM)
    next(batches)
    batches.close()
    (rows,) = (tmp_path / "c").glob("*/rows.bin")
    assert rows.stat().st_size == 16 * ROW


def test_a_full_disk_keeps_no_pixels_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: FileIO, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    dear(monkeypatch)
    monkeypatch.setattr(decoded, "_BUFFER_BYTES", 0)
    monkeypatch.setattr(cache, "_write", full)
    given = pictures(tmp_path)
    assert np.array_equal(look(tmp_path / "c", given), expected(given))
