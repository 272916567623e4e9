import re
from pathlib import Path

import pytest

from edgetl_runtime.errors import InputError
from edgetl_runtime.journal import Entry, Journal, journal_of

SUBJECT = {"bundle": "ab", "device": "cpu"}
ANSWER = Entry((1,), 0.9, 0.7, (0.1, 0.9), (1.0, 2.0, 3.0, 0.5))
BROKEN = Entry(unreadable="is empty")


def written(path: Path) -> Path:
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add("one", ANSWER)
        journal.add("two", BROKEN)
    return path


def resumed(path: Path) -> dict[str, Entry]:
    with Journal(path, SUBJECT, resume=True) as journal:
        return dict(journal.entries)


def test_the_journal_lies_hidden_beside_the_receipt() -> None:
    assert journal_of(Path("a/int8.json")) == Path("a/.int8.json.journal")


def test_a_journal_is_gone_on_with(tmp_path: Path) -> None:
    path = written(tmp_path / "new" / "j")
    assert resumed(path) == {"one": ANSWER, "two": BROKEN}
    with Journal(path, SUBJECT, resume=True) as journal:
        journal.add("three", ANSWER)
    assert list(resumed(path)) == ["one", "two", "three"]


def test_without_resume_it_begins_anew_and_without_a_file_too(tmp_path: Path) -> None:
    with Journal(written(tmp_path / "j"), SUBJECT, resume=False) as journal:
        assert journal.entries == {}
    assert resumed(tmp_path / "j") == {}
    assert resumed(tmp_path / "none") == {}


def test_whatever_a_kill_cuts_off_is_cut_away(tmp_path: Path) -> None:
    whole = written(tmp_path / "j").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "j").write_bytes(whole[:length])
        entries = resumed(tmp_path / "j")
        assert list(entries) == ["one", "two"][: max(0, whole[:length].count(b"\n") - 1)]
        with Journal(tmp_path / "j", SUBJECT, resume=True) as journal:
            journal.add("last", ANSWER)
        assert resumed(tmp_path / "j") == {**entries, "last": ANSWER}


@pytest.mark.parametrize(
    "line",
    [
        b"7",
        b"{}",
        b"\xff",
        b'{"sha256":"x"}',
        b'{"sha256":"x","shares":[1],"ms":[1,2,3,4]}',
        b'{"sha256":"x","predicted":[0],"confidence":1,"shares":[1],"ms":[1,2,3,4]}',
        b'{"sha256":"x","predicted":[0],"confidence":1,"untempered":1,"shares":["a"],"ms":[1,2,3,4]}',
        b'{"sha256":"x","predicted":["a"],"confidence":1,"untempered":1,"shares":[1],"ms":[1,2,3,4]}',
        b'{"sha256":"x","predicted":[0],"confidence":1,"untempered":1,"shares":[1],"ms":[1]}',
    ],
)
def test_a_line_that_is_no_entry_ends_what_is_believed(tmp_path: Path, line: bytes) -> None:
    path = written(tmp_path / "j")
    path.write_bytes(path.read_bytes() + line + b"\n")
    assert list(resumed(path)) == ["one", "two"]


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "j")
    message = re.escape(
        f"{path} was begun with another device: it cannot be gone on with. Leave out --resume"
    )
    with pytest.raises(InputError, match=message):
        Journal(path, SUBJECT | {"device": "npu"}, resume=True)


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        Journal(tmp_path, SUBJECT, resume=False)


def test_no_path_keeps_nothing() -> None:
    with Journal(None, SUBJECT, resume=True) as journal:
        journal.add("one", ANSWER)
        assert journal.entries == {}
