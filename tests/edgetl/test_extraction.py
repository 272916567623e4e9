"""Rows computed by several ranks: those that one computes, each picture once; the leader tells all errors."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgetl_factories import colour_picture, extractor, rows, rows_kept
from numpy.typing import NDArray
from thread_ranks import with_ranks

from edgetl import extraction
from edgetl.cache import NoSpace, Store, Writer
from edgetl.crew import End
from edgetl.extraction import next_part
from edgetl.features import VIEWS
from edgetl.forward.on_torch import TorchForward
from edgetl.ranks import here
from edgetl_runtime.errors import PictureError
from edgetl_runtime.pictures import Picture


def pictures(folder: Path, count: int) -> list[Picture]:
    colours = ("red", "green", "blue")
    return [colour_picture(folder / f"{n}.png", colours[n % 3], n) for n in range(count)]


def own_cache(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("EDGETL_CACHE", str(folder))


@pytest.mark.parametrize("count", [1, 50])
def test_ranks_fill_the_cache_with_what_one_computes(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, told, ran = pictures(tmp_path, count), list[tuple[int, int]](), Counter[int]()
    run = TorchForward.start

    def counted(self: TorchForward, batches: Sequence[NDArray[np.uint8]]) -> Any:
        ran[here().rank] += len(batches[0])
        return run(self, batches)

    own_cache(tmp_path / "alone", monkeypatch)
    expected = rows(extractor()(given, VIEWS["hflip"]))
    own_cache(tmp_path / "shared", monkeypatch)
    monkeypatch.setattr(TorchForward, "start", counted)

    def work() -> tuple[list[NDArray[np.float16]], tuple[int, ...]]:
        extract = extractor()
        return rows(extract(given, VIEWS["hflip"], lambda *done: told.append(done))), extract.shares

    (found, shares), ended = with_ranks(3, work)
    assert [one.shape for one in found] == [one.shape for one in expected]
    # A batch of another size may be summed in another order.
    assert all(np.allclose(a, b, atol=2e-3) for a, b in zip(found, expected, strict=True))
    assert sum(shares) == count
    assert {rank: ran[rank] for rank in range(3)} == dict(enumerate(shares))
    assert max(shares) - min(shares) <= 2
    assert told[-1] == (count, count)
    assert all(isinstance(one, End) for one in ended)
    assert rows_kept(tmp_path / "shared") == {count}


def test_what_is_cached_is_ordered_from_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path / "cache", monkeypatch)
    given = pictures(tmp_path, 20)
    extractor()(given[:18], VIEWS["none"])

    def work() -> tuple[int, ...]:
        extract = extractor()
        extract(given, VIEWS["none"])
        extract(given, VIEWS["none"])
        return extract.shares

    assert with_ranks(2, work)[0] == (1, 1)


def test_a_helper_s_unreadable_picture_is_the_leader_s_error_and_the_helper_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache(tmp_path / "cache", monkeypatch)
    given = pictures(tmp_path, 4)
    given[3].path.write_bytes(b"no picture")

    def work() -> tuple[str, int]:
        extract = extractor()
        with pytest.raises(PictureError) as caught:
            extract(given, VIEWS["none"])
        return str(caught.value), len(extract(given[:3], VIEWS["none"]).features[0])

    (message, count), ended = with_ranks(2, work)
    assert "3.png" in message
    assert (count, ended) == (3, [End((message, 3))])


def test_a_disk_that_is_full_on_a_helper_is_full_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache(tmp_path / "cache", monkeypatch)
    append = Writer.append

    def filling(self: Writer, keys: Sequence[str], array: NDArray[Any]) -> None:
        if here().rank == 1:
            raise NoSpace("No space left.")
        append(self, keys, array)

    monkeypatch.setattr(Writer, "append", filling)
    given = pictures(tmp_path, 4)
    with pytest.raises(NoSpace, match="No space left"):
        with_ranks(2, lambda: extractor()(given, VIEWS["none"]))


def test_a_rank_writes_when_it_holds_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path / "cache", monkeypatch)
    writes: list[int] = []
    write = extraction._write

    def counted(pending: Sequence[Any], stores: Sequence[Sequence[Store]]) -> None:
        writes.append(sum(len(keys) for keys, _ in pending))
        write(pending, stores)

    monkeypatch.setattr(extraction, "_write", counted)
    monkeypatch.setattr(extraction, "_BUFFER_BYTES", 0)
    monkeypatch.setattr(extraction, "BATCH", 40)
    with_ranks(2, lambda: extractor()(pictures(tmp_path, 80), VIEWS["none"]) and None)
    assert sorted(writes) == [0, 0, 8, 8, 16, 16, 16, 16]


def test_parts_grow_to_a_few_seconds_and_shrink_to_a_batch() -> None:
    assert next_part(16, 60.0) == 16
    assert next_part(16, 0.01) == 64
    assert next_part(64, 2.0) == 128
    assert next_part(160, 40.0) == 16
    assert next_part(48, 4.0) == 48
