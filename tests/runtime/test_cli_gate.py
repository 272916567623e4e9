"""The commands around the gate: check with its limits and outputs, plan, fleet and ledger."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from receipt_factories import flipped

from edgetl_runtime.cli import main
from edgetl_runtime.receipt import BundleId, Receipt

OPEN = {"lost": 12, "gained": 8, "both": 980}


@pytest.fixture(autouse=True)
def no_ledger(monkeypatch):
    monkeypatch.delenv("EDGETL_LEDGER", raising=False)


@pytest.fixture
def receipts(tmp_path):
    """Write two receipts, the second changed as told; returns their paths as arguments."""

    def write(*, changes=None, **counts):
        before, after = flipped(**counts)
        paths = [tmp_path / "before.json", tmp_path / "after.json"]
        before.write(paths[0])
        replace(after, **(changes or {})).write(paths[1])
        return [str(path) for path in paths]

    return write


def test_every_limit_is_a_flag_and_a_rule(receipts, capsys):
    paths = receipts(lost=30, gained=30, both=940)
    limits = ["--max-negative-flips", "10%", "--per-class", "--max-calibration-drift", "5pp"]
    assert main(["check", *paths, "--margin", "2pp", *limits, "--max-size-ratio", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [rule["name"] for rule in found["rules"]] == [
        *("accuracy", "negative flips", "per class", "calibration", "size")
    ]
    assert {rule["outcome"] for rule in found["rules"]} == {"PASS"}
    assert found["classes"][0]["name"] == "cat"
    assert found["wear"] is None


def test_one_broken_limit_fails_and_is_named_first(receipts, capsys):
    paths = receipts(lost=30, gained=30, both=940)
    assert main(["check", *paths, "--margin", "2pp", "--max-negative-flips", "1%"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("FAIL: 30 of 1,000 pictures were right and are wrong now, 3.00 %")
    assert "\nPASS         accuracy: the drop of accuracy is 0.00 pp" in text
    assert "\nFAIL         negative flips: 30 of 1,000" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_fail_beside_an_undecided_rule_is_not_let_through(receipts):
    paths = receipts(**OPEN, changes={"size_bytes": 5_000_000})
    assert main(["check", *paths, "--max-size-ratio", "1.1", "--on-inconclusive", "warn"]) == 1
    assert main(["check", *paths, "--max-size-ratio", "1.3", "--on-inconclusive", "warn"]) == 0
    assert main(["check", *paths, "--max-size-ratio", "1.3"]) == 3


def test_the_metric_and_alpha_can_be_chosen(receipts, capsys):
    paths = receipts(**OPEN)
    assert main(["check", *paths, "--metric", "balanced_accuracy", "--margin", "2pp"]) == 0
    assert capsys.readouterr().out.startswith("PASS: the drop of balanced accuracy is +0.40 pp")
    assert main(["check", *paths, "--margin", "0.9pp", "--alpha", "0.2"]) == 0
    assert main(["check", *paths, "--alpha", "0.7"]) == 2


def test_receipts_of_other_machines_are_compared_only_on_demand(receipts, capsys):
    paths = receipts(lost=0, gained=0, both=1_000)
    receipt = Receipt.read(paths[1])
    replace(receipt, environment=replace(receipt.environment, cpu="Kettle")).write(Path(paths[1]))
    assert main(["check", *paths]) == 2
    assert "the processor 'Toaster' and 'Kettle'" in capsys.readouterr().err
    assert main(["check", *paths, "--across-machines"]) == 0


def test_a_latency_limit_needs_receipts_that_tell_the_times_beside_the_workload(receipts, capsys):
    assert main(["check", *receipts(**OPEN), "--max-latency-ratio", "1.2"]) == 2
    assert "The receipt of the baseline tells the times of 0 blocks" in capsys.readouterr().err


def test_the_outputs_are_written_beside_the_text(receipts, tmp_path, capsys):
    markdown, junit = tmp_path / "ci" / "gate.md", tmp_path / "ci" / "junit.xml"
    files = ["--markdown", str(markdown), "--junit", str(junit)]
    assert main(["check", *receipts(**OPEN), *files, "--annotations", "github"]) == 3
    output = capsys.readouterr()
    assert output.out.startswith("INCONCLUSIVE: ")
    assert output.err.startswith("::error title=edgetl check%2C accuracy::INCONCLUSIVE: ")
    assert markdown.read_text(encoding="utf-8").startswith("## ⚠️ edgetl check: INCONCLUSIVE\n")
    assert ElementTree.parse(junit).find("testsuite").get("failures") == "1"


def test_markdown_can_be_all_of_stdout_but_not_with_json(receipts, capsys):
    paths = receipts(**OPEN)
    assert main(["check", *paths, "--markdown", "-"]) == 3
    assert capsys.readouterr().out.startswith("## ⚠️ edgetl check: INCONCLUSIVE\n")
    assert main(["check", *paths, "--markdown", "-", "--json"]) == 2
    assert "both want stdout" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--max-negative-flips", "--class-margin", "--max-calibration-drift"])
def test_a_share_that_is_none_is_wrong_usage(receipts, capsys, flag):
    assert main(["check", *receipts(**OPEN), flag, "many"]) == 2
    assert capsys.readouterr().err.startswith("error: A share must be like 0.5pp, 0.5% or 0.005, got 'many'")


def test_the_ledger_is_kept_shown_and_warns(receipts, tmp_path, capsys, monkeypatch):
    file = tmp_path / "ledger.jsonl"
    paths = receipts(lost=1, gained=1, both=998)
    for number in range(1, 10):
        assert main(["check", *paths, "--margin", f"{number}pp", "--ledger", str(file)]) == 0
    assert main(["check", *paths, "--margin", "9pp", "--ledger", str(file)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("EDGETL_LEDGER", str(file))
    assert main(["check", *paths, "--margin", "10pp", "--json"]) == 0
    output = capsys.readouterr()
    assert output.err.startswith("note: these 1,000 test pictures have decided on 10 different candidates")
    assert json.loads(output.out)["wear"]["looks"] == 10
    assert main(["ledger", str(file)]) == 0
    header, row = capsys.readouterr().out.splitlines()[:2]
    assert header.split("  ")[0] == "test set"
    assert row.split()[1:] == ["1,000", "11", "0", "0", "10", "50%"]
    assert main(["ledger", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_sets"][0]["worn"] is True


def test_a_ledger_without_decisions_says_so(tmp_path, capsys):
    (tmp_path / "empty").touch()
    assert main(["ledger", str(tmp_path / "empty")]) == 0
    assert capsys.readouterr().out == "The ledger holds no decision.\n"
    (tmp_path / "torn").write_text("{", encoding="utf-8")
    assert main(["ledger", str(tmp_path / "torn")]) == 0
    assert capsys.readouterr().out == "1 damaged lines count as looks at every test set.\n"
    assert main(["ledger", str(tmp_path / "none")]) == 2


def test_plan_prints_a_row_for_each_discordance(capsys):
    assert main(["plan", "--margin", "2pp"]) == 0
    text = capsys.readouterr().out
    assert [line.split()[:2] for line in text.splitlines() if line.startswith(" ")] == [
        [share, "%"] for share in ("0.50", "1.00", "2.00", "4.00", "8.00")
    ]
    assert main(["plan", "--margin", "2pp", "--discordance", "2%", "--n", "1000", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["discordance"] == 0.02
    assert row["chance"] == pytest.approx(0.9908, abs=1e-3)
    assert main(["plan", "--margin", "2pp", "--drop", "2pp"]) == 2


def test_plan_takes_the_pictures_of_a_receipt(receipts, capsys):
    _, after = receipts(lost=50, gained=0, both=950)
    assert main(["plan", after, "--margin", "5pp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 1_000
    assert found["rows"][-1]["discordance"] == pytest.approx(2 * 0.95 * 0.05)
    assert main(["plan", after, "--margin", "5pp"]) == 0
    assert "1,000 certify" in capsys.readouterr().out


def test_fleet_names_the_device_that_deviates(receipts, tmp_path, capsys):
    one, odd = receipts(lost=30, gained=0, both=970)
    for name in ("hall", "attic"):
        (tmp_path / f"{name}.json").write_bytes(Path(one).read_bytes())
    paths = [str(tmp_path / "hall.json"), str(tmp_path / "attic.json"), odd]
    assert main(["fleet", *paths]) == 1
    text = capsys.readouterr().out
    assert text.startswith("FAIL: after answers differently from most devices on 30 of 1,000 pictures.")
    assert "hall: bundle pets abababababab; Toaster; numpy 2.4" in text
    assert "after stands alone on:" in text
    assert "  20 more pictures are in --json." in text
    assert main(["fleet", *paths, "--json"]) == 1
    devices = json.loads(capsys.readouterr().out)["devices"]
    assert [device["deviates"] for device in devices] == [False, False, True]
    assert main(["fleet", *paths, "--tolerance", "5%"]) == 0
    assert "no device differs from the rest by more than chance and 5 %" in capsys.readouterr().out
    assert main(["fleet", one, odd]) == 3
    text = capsys.readouterr().out
    assert text.startswith(
        "INCONCLUSIVE: the two differ on 30 of 1,000 pictures, and 0.5 % are tolerated; a\nthird would say"
    )
    assert "Without a majority:" in text
    assert main(["fleet", one, odd, "--json"]) == 3
    assert len(json.loads(capsys.readouterr().out)["disputed"]) == 30


def test_fleet_says_where_no_answer_has_a_majority(receipts, tmp_path, capsys):
    one, odd = receipts(lost=30, gained=0, both=970)
    for name, source in (("hall", one), ("attic", odd)):
        (tmp_path / f"{name}.json").write_bytes(Path(source).read_bytes())
    assert main(["fleet", one, odd, str(tmp_path / "hall.json"), str(tmp_path / "attic.json")]) == 3
    text = capsys.readouterr().out
    assert text.startswith("INCONCLUSIVE: no answer has a majority of the devices on 30 of 1,000 pictures")
    assert max(map(len, text.splitlines())) <= 80


def test_fleet_notes_devices_with_another_bundle(receipts, capsys):
    one, other = receipts(lost=0, gained=0, both=100, changes={"bundle": BundleId("ef" * 32, "dogs")})
    assert main(["fleet", one, other]) == 0
    output = capsys.readouterr()
    assert output.err.startswith("note: The devices run different bundles")
    assert "after: bundle dogs efefefefefef" in output.out
