import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from receipt_factories import flipped

from edgetl_runtime.errors import InputError
from edgetl_runtime.gating import Limits, gate
from edgetl_runtime.ledger import Decision, append, decision, read_ledger


def entry(question="a", *, test_set="t" * 64, outcome="PASS", alpha=0.05):
    return Decision("2026-11-24T00:00:00+00:00", test_set, 100, question, "b", "c", outcome, 0.005, alpha)


def test_decisions_are_appended_and_read_back(tmp_path):
    path = tmp_path / "new" / "ledger.jsonl"
    entries = (entry("a"), entry("b", outcome="FAIL"), entry("c", test_set="u" * 64))
    for one in entries:
        ledger = append(path, one)
    assert ledger == read_ledger(path)
    assert ledger.decisions == entries
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_the_bound_adds_up_the_alphas_of_different_questions(tmp_path):
    path = tmp_path / "ledger"
    for question in ("a", "b", "b", "c"):
        ledger = append(path, entry(question, alpha=0.05 if question == "a" else 0.01))
    wear = ledger.wear("t" * 64)
    assert (wear.decisions, wear.looks, wear.worn) == (4, 3, False)
    assert wear.false_pass == pytest.approx(0.07)
    assert dict(wear.outcomes) == {"PASS": 4, "INCONCLUSIVE": 0, "FAIL": 0}


def test_ten_candidates_wear_a_test_set_out_and_it_says_so(tmp_path):
    for number in range(10):
        wear = append(tmp_path / "ledger", entry(str(number))).wear("t" * 64)
        assert wear.worn == (number == 9)
    assert wear.describe() == (
        "these 100 test pictures have decided on 10 different candidates, and the chance that luck passed "
        "one at the margin is up to 50%, more if candidates were chosen by earlier verdicts. "
        "Collect new test pictures, or decide at a smaller --alpha."
    )


def test_the_same_pictures_are_one_test_set_and_another_limit_another_question():
    receipts = flipped(lost=1, gained=1, both=98)
    verdict = gate(*receipts)
    first, again = (decision(*receipts, verdict, Limits()) for _ in range(2))
    other = decision(*receipts, verdict, Limits(negative_flips=0.01))
    swapped = decision(*receipts[::-1], verdict, Limits())
    larger = flipped(lost=1, gained=1, both=99)
    assert first.question == again.question != other.question
    assert first.test_set == other.test_set == swapped.test_set
    assert decision(*larger, gate(*larger), Limits()).test_set != first.test_set
    assert (first.n, first.outcome, first.candidate) == (100, verdict.outcome, "pets onnx-int8 on cpu")


@pytest.mark.parametrize("damage", ['{"time": "20', "null", "[]", '{"alpha": 1}', "\xff\x00"])
def test_a_torn_line_is_counted_as_a_look_and_spoils_no_other(tmp_path, damage):
    path = tmp_path / "ledger"
    append(path, entry("a"))
    with path.open("a", encoding="utf-8") as file:
        file.write(damage)
    ledger = append(path, entry("b"))
    assert ledger == read_ledger(path)
    assert (len(ledger.decisions), ledger.damaged) == (2, 1)
    wear = ledger.wear("t" * 64)
    assert (wear.looks, wear.false_pass) == (3, pytest.approx(0.15))


def test_many_writers_lose_no_line(tmp_path):
    path = tmp_path / "ledger"
    code = (
        "import sys; from pathlib import Path; from edgetl_runtime.ledger import Decision, append\n"
        "for k in range(20): append(Path(sys.argv[1]), Decision('t', 's', 1, sys.argv[2] + str(k), "
        "'x' * 5000, 'c', 'PASS', 0.01, 0.05))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), f"{name}-"]) for name in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    ledger = read_ledger(path)
    assert ledger.damaged == 0
    assert {one.question for one in ledger.decisions} == {
        f"{name}-{k}" for name in range(4) for k in range(20)
    }
    assert len(ledger.decisions) == 80


def test_on_windows_every_writer_locks_and_unlocks_the_same_byte_beyond_the_end(tmp_path, monkeypatch):
    held, seen, path = set(), [], tmp_path / "ledger"

    def locking(handle, mode, size):  # as Microsoft documents _locking: from the place in the file on
        byte = os.lseek(handle, 0, os.SEEK_CUR)
        seen.append((mode, byte, size))
        if mode == "lock":
            held.add(byte)
        else:
            held.remove(byte)  # a KeyError where another byte was locked

    monkeypatch.setitem(
        sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_LOCK="lock", LK_UNLCK="unlock")
    )
    monkeypatch.setattr(sys, "platform", "win32")
    append(path, entry("a"))
    ledger = append(path, entry("b"))
    monkeypatch.undo()
    assert ledger == read_ledger(path)
    assert [one.question for one in ledger.decisions] == ["a", "b"]
    assert seen == [("lock", 2**31 - 2, 1), ("unlock", 2**31 - 2, 1)] * 2
    assert not held


def test_a_ledger_that_cannot_be_used_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"The ledger .*none cannot be read \(No such file or directory\)"):
        read_ledger(tmp_path / "none")
    with pytest.raises(InputError, match=r"The ledger .* cannot be written \(Is a directory\)"):
        append(tmp_path, entry())
