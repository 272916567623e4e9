"""Workers answer what one process answers, and their answers make the receipt that it makes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crews import Here
from runtime_factories import shards_of
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl import answering
from edgetl.answering import Question, answer_piece, answered_by, with_threads
from edgetl.cluster.standpoint import Standpoint
from edgetl.cluster.workers import LostWorkers
from edgetl_runtime.commands import Where, run_validate
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import InputError
from edgetl_runtime.receipt import Receipt

WHERE = Where(variant="onnx-fp32")
COUNT = 11


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pictures of three classes, one that is none, and a bundle, by relative paths."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(answering, "_PIECE", 3)
    tiny_bundle(Path("bundle"))
    for number in range(COUNT):
        write_colour(Path("data") / CLASSES[number % 3] / f"{number}.png", CLASSES[number % 3], number)
    Path("data/red/broken.png").write_bytes(Path("data/red/0.png").read_bytes()[:-200])
    yield


def validated(crew: Here | None, out: Path | None = None, *, resume: bool = False) -> Receipt:
    where = WHERE if crew is None else with_threads(WHERE, crew)
    measuring = None if crew is None else answered_by(crew, Path("bundle"), where)
    told = list[tuple[int, int]]()
    receipt = run_validate(
        Path("bundle"),
        Path("data"),
        where=where,
        max_unreadable=0.5,
        out=out,
        resume=resume,
        measuring=measuring,
        progress=lambda *done: told.append(done),
    )
    assert told[-1:] in ([(COUNT + 1, COUNT + 1)], [])
    return receipt


def assert_same(found: Receipt, expected: Receipt) -> None:
    assert found.predictions.to_json() == expected.predictions.to_json()
    assert (found.figures, found.per_class) == (expected.figures, expected.per_class)
    assert (found.dataset, found.errors) == (expected.dataset, expected.errors)


@pytest.mark.parametrize("late", [None, 0, 2])
def test_in_whatever_order_they_answer_the_receipt_is_that_of_one_process(late: int | None) -> None:
    crew, alone = Here(late=late), validated(None)
    found = validated(crew)
    assert_same(found, alone)
    assert [len(pictures) for _, pictures in crew.pieces] == [3, 3, 3, 3]
    assert found.latency["total"].n == COUNT
    assert (found.performance.throughput_per_s, found.performance.threads) == (None, 1)
    assert "answered by 2 workers with 1 of the cores each" in found.environment.notes[-1]
    assert [one.reason for one in found.errors] == ["is truncated"]


def test_pictures_in_tars_are_answered_as_those_in_folders() -> None:
    alone, where = validated(None), with_threads(WHERE, Here())
    shards = shards_of(Path("data"), Path("shards"))
    measuring = answered_by(Here(), Path("bundle"), where)
    found = run_validate(Path("bundle"), shards, where=where, max_unreadable=0.5, measuring=measuring)
    assert found.figures["accuracy"] == alone.figures["accuracy"]
    assert found.dataset.fingerprint == alone.dataset.fingerprint
    assert [one.path.parts[1:] for one in found.errors] == [("red", "broken.png")]


def test_few_pictures_are_shared_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_PIECE", 2048)
    crew = Here(5)
    validated(crew)
    assert [len(pictures) for _, pictures in crew.pieces] == [3, 3, 3, 3]


def test_after_lost_workers_the_same_command_goes_on_with_what_is_left() -> None:
    alone, out = validated(None), Path("receipt.json")
    with pytest.raises(LostWorkers):
        validated(Here(lost=2), out)
    assert not out.exists()
    crew = Here()
    assert_same(validated(crew, out, resume=True), alone)
    assert sum(len(pictures) for _, pictures in crew.pieces) == COUNT + 1 - 6
    assert np.array_equal(Receipt.read(out).predictions.target, alone.predictions.target)


def test_a_worker_of_another_kind_of_machine_is_refused() -> None:
    other = replace(read_environment(), cpu="an abacus", versions={"numpy": "1.0"})
    question = Question(Standpoint.of(1), Path("bundle"), "any", WHERE, other)
    message = r"is not like the sender's: the processor 'an abacus' and .*numpy 1\.0 and .*One receipt is"
    with pytest.raises(InputError, match=message):
        answer_piece(question, (0, ()))


def test_another_bundle_at_the_same_place_is_refused() -> None:
    question = Question(Standpoint.of(1), Path("bundle"), "ab" * 32, WHERE, read_environment())
    with pytest.raises(InputError, match=r"another bundle at 'bundle': \w{12}, not abababababab\."):
        answer_piece(question, (0, ()))


def test_what_was_chosen_here_is_not_chosen_again_there() -> None:
    seen = list[Where]()

    class Listening(Here):
        def each(self, work, given, pieces):
            seen.append(given.where)
            return super().each(work, given, pieces)

    crew = Listening()
    where = with_threads(Where(device="auto", fallback="cpu", threads=2), crew)
    run_validate(
        Path("bundle"),
        Path("data"),
        where=where,
        max_unreadable=0.5,
        measuring=answered_by(crew, Path("bundle"), where),
    )
    assert seen[0].variant in ("onnx-fp32", "openvino-fp32")
    assert (seen[0].device, seen[0].fallback, seen[0].threads) == ("cpu", None, 2)
