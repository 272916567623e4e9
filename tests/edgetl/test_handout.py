"""Rows computed by workers elsewhere: those that one process computes, and none of them twice."""

from pathlib import Path

import numpy as np
import pytest
from crews import Here
from edgetl_factories import colour_picture, extractor, rows, rows_kept

from edgetl import extraction
from edgetl.cluster.workers import LostWorkers, helped_by
from edgetl.features import VIEWS
from edgetl.forward.on_torch import TorchForward
from edgetl_runtime.errors import PictureError
from edgetl_runtime.pictures import Picture

COUNT = 70


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGETL_CACHE", "cache")
    monkeypatch.setattr(extraction, "_FEWEST", 20)


def pictures() -> list[Picture]:
    return [colour_picture(Path(f"{n}.png"), ("red", "green", "blue")[n % 3], n) for n in range(COUNT)]


def test_workers_fill_the_cache_with_what_one_process_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, told, crew = pictures(), list[tuple[int, int]](), Here()
    monkeypatch.setenv("EDGETL_CACHE", "alone")
    expected = rows(extractor()(given, VIEWS["hflip"]))
    monkeypatch.setenv("EDGETL_CACHE", "cache")
    with helped_by(crew):
        found = rows(extractor()(given, VIEWS["hflip"], lambda *done: told.append(done)))
    # A batch of another size may be summed in another order.
    assert all(np.allclose(a, b, atol=2e-3) for a, b in zip(found, expected, strict=True))
    assert [one.path for part in crew.pieces for one in part.pictures] == [one.path for one in given]
    assert told[-1] == (COUNT, COUNT)
    assert rows_kept(tmp_path / "cache") == {COUNT}


def test_few_pictures_are_not_worth_a_cluster() -> None:
    crew = Here()
    with helped_by(crew):
        extractor()(pictures()[:19], VIEWS["none"])
    assert crew.pieces == []


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each batch had that was computed, here or by workers."""
    seen, start = list[int](), TorchForward.start
    monkeypatch.setattr(TorchForward, "start", lambda *given: seen.append(len(given[1][0])) or start(*given))
    return seen


def test_after_lost_workers_only_what_is_missing_is_computed(ran: list[int]) -> None:
    given = pictures()
    with helped_by(Here(lost=1)), pytest.raises(LostWorkers):
        extractor()(given, VIEWS["none"])
    assert sum(ran) == 16
    extractor()(given, VIEWS["none"])  # Without help.
    assert sum(ran) == COUNT


def test_a_part_that_was_lost_to_the_half_is_not_computed_twice(
    ran: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pictures()
    extractor()(given[3:10], VIEWS["none"])
    monkeypatch.setattr(extraction.Wanted, "missing", _all_at_first(extraction.Wanted.missing))
    with helped_by(Here()):
        extractor()(given, VIEWS["none"])
    assert sum(ran) == COUNT


def _all_at_first(missing):
    """The leader finds that all are missing, as before a worker has begun; the worker looks again."""
    calls = []

    def find(self, pictures):
        calls.append(1)
        return list(pictures) if len(calls) == 1 else missing(self, pictures)

    return find


def test_a_picture_that_cannot_be_read_is_an_error_as_in_one_process() -> None:
    given = pictures()
    given[5].path.write_bytes(b"no picture")
    with helped_by(Here()), pytest.raises(PictureError, match=r"5\.png"):
        extractor()(given, VIEWS["none"])
