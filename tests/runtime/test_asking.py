"""What the gate is asked, from flags and from JSON."""

import json
from dataclasses import replace

import pytest
from receipt_factories import flipped

from edgetl_runtime.asking import FLAGS, Judged, Question, asked_by_flags, read_judged
from edgetl_runtime.cli import main
from edgetl_runtime.errors import InputError
from edgetl_runtime.gating import gate
from edgetl_runtime.rules import Limits

NOTHING = {flag.key: False if flag.kind == "truth" else None for flag in FLAGS}
EVERYTHING = {
    "margin": "1pp",
    "metric": "macro_f1",
    "alpha": 0.01,
    "across_machines": True,
    "per_class": True,
    "class_margin": "4pp",
    "max_negative_flips": "2%",
    "max_calibration_drift": "0.03",
    "max_latency_ratio": 1.2,
    "max_size_ratio": 1.1,
    "max_memory_ratio": 1.3,
}
ASKED = Question(0.01, 0.01, Limits("macro_f1", 0.02, 0.04, 0.03, 1.2, 1.1, 1.3, True))


def test_flags_that_are_not_given_ask_the_defaults():
    assert asked_by_flags(NOTHING) == Question(0.005, 0.05, Limits())


def test_every_flag_asks_its_limit():
    assert set(EVERYTHING) == {flag.key for flag in FLAGS}
    assert asked_by_flags(EVERYTHING) == ASKED


def test_per_class_has_a_margin_of_its_own_until_one_is_given():
    assert asked_by_flags(NOTHING | {"per_class": True}).limits.class_margin == 0.05
    assert asked_by_flags(NOTHING | {"class_margin": "1pp"}).limits.class_margin == 0.01


def written(path, **changes):
    facts = {"asked": ASKED.to_json(), "outcome": "PASS", "n": 1000, "lost": 3, "gained": 1}
    path.write_text(json.dumps(facts | changes), encoding="utf-8")
    return path


def test_what_check_prints_is_read_back(tmp_path, capsys):
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, receipt in zip(paths, flipped(lost=3, gained=1, both=996), strict=True):
        receipt.write(path)
    code = main(["check", *map(str, paths), "--margin", "2pp", "--max-size-ratio", "1.5", "--json"])
    (tmp_path / "check.json").write_text(capsys.readouterr().out, encoding="utf-8")
    found = read_judged(tmp_path / "check.json")
    assert (code, found.outcome) == (0, "PASS")
    assert found.question == Question(0.02, 0.05, Limits(size_ratio=1.5))
    verdict = gate(*flipped(lost=3, gained=1, both=996), margin=0.02)
    assert found.is_of(verdict)
    assert not found.is_of(replace(verdict, lost=4))


def test_what_a_shell_on_windows_has_kept_is_read_back(tmp_path):
    path = written(tmp_path / "check.json")
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_judged(path).question == ASKED


def test_all_limits_come_back_from_json(tmp_path):
    found = read_judged(written(tmp_path / "check.json"))
    assert found == Judged(tmp_path / "check.json", ASKED, "PASS", 1000, 3, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcome": "GOOD"}, "outcome must be one of"),
        ({"n": "many"}, "n must be a whole number"),
        ({"asked": {}}, "asked lacks 'margin'"),
        ({"asked": ASKED.to_json() | {"limits": {"speed": 1}}}, "unknown keys"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_judged(written(tmp_path / "check.json", **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "it lacks one of asked, outcome"), ("{", "is not valid JSON"), ("{}", "edgetl check … --json")],
)
def test_a_file_of_something_else_is_refused(tmp_path, text, message):
    (tmp_path / "check.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_judged(tmp_path / "check.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_judged(tmp_path / "none.json")
