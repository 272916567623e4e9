"""`edgetl report`: one file, said in a line; errors in words and nothing half-written."""

import json
import re
from pathlib import Path

import pytest
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl.cli import main
from edgetl_runtime.asking import FLAGS
from edgetl_runtime.commands import Where, run_validate


@pytest.fixture
def receipts(tmp_path):
    """A bundle and a receipt of each variant; the second was told to lose the first picture."""
    bundle = tiny_bundle(tmp_path / "bundle")
    for colour in CLASSES:
        for number in range(3):
            write_colour(tmp_path / f"data/{colour}/{number}.png", colour, number)
    paths = []
    for variant in ("onnx-fp32", "openvino-fp32"):
        paths.append(tmp_path / f"{variant}.json")
        run_validate(bundle, tmp_path / "data", where=Where(variant)).write(paths[-1])
    changed = json.loads(paths[1].read_text(encoding="utf-8"))
    changed["predictions"]["predicted"][0] = (changed["predictions"]["predicted"][0] + 1) % 3
    paths[1].write_text(json.dumps(changed), encoding="utf-8")
    return [str(bundle), *map(str, paths)]


def test_a_report_is_written_and_told_in_a_line(receipts, tmp_path, capsys):
    out, data = tmp_path / "made/report.html", str(tmp_path / "data")
    assert main(["report", *receipts, "--out", str(out), "--data", data]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count('class="map"') == 2
    output = capsys.readouterr()
    size = f"{out.stat().st_size / 1e6:.1f}"
    assert output.out == f"{out}: {size} MB, one file. Open it in any browser.\n"
    assert output.err == ""


def test_json_has_the_notes_about_what_is_not_shown(receipts, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", *receipts, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(out)
    assert told["bytes"] == out.stat().st_size
    assert told["notes"] == [
        "No pictures are shown: give --data with the folder or CSV file of the pictures."
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is nothing at 'nowhere'"),
        (["--margin", "half"], "A margin must be like 0.5pp"),
        (["--cards", "-1"], "cards must be 0 to 500"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_an_error_and_leaves_no_file(receipts, tmp_path, capsys, arguments, message):
    out = tmp_path / "report.html"
    assert main(["report", *receipts, *arguments, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_every_flag_of_the_page_about_it_is_the_command_s(capsys):
    page = (Path(__file__).parents[3] / "docs/report.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"`(--[a-z-]+)(?: ([^`]+))?`", page))
    assert main(["report", "--help"]) == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert set(told) - {"--json"} <= set(re.findall(r"--[a-z-]+", shown))
    for flag in ("--margin", "--cards", "--saliency"):
        assert f"default: {told[flag]}" in shown.partition(f"{flag} ")[2]


def test_check_and_report_have_the_same_flags_of_the_gate(capsys):
    shown = {}
    for command in ("check", "report"):
        assert main([command, "--help"]) == 0
        shown[command] = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    flags = {f"--{one.name}" for one in FLAGS}
    assert len(flags) >= 11
    assert flags <= shown["check"] & shown["report"]


def outcome_of(page):
    return re.search(r'<p class="outcome">([A-Z ]+)</p>', page.read_text(encoding="utf-8"))[1]


def test_the_report_judges_by_the_limits_of_check(receipts, tmp_path):
    out, pair = tmp_path / "report.html", receipts[1:]
    for limits, code, outcome in (
        (["--margin", "50pp"], 0, "PASS"),
        (["--margin", "50pp", "--max-negative-flips", "20%"], 3, "INCONCLUSIVE"),
        (["--margin", "50pp", "--max-size-ratio", "0.01"], 1, "FAIL"),
    ):
        assert main(["check", *pair, *limits]) == code
        assert main(["report", *pair, *limits, "--out", str(out)]) == 0
        assert outcome_of(out) == outcome


def test_the_report_takes_what_check_printed(receipts, tmp_path, capsys):
    out, file, pair = tmp_path / "report.html", tmp_path / "check.json", receipts[1:]
    assert main(["check", *pair, "--margin", "50pp", "--max-size-ratio", "0.01", "--json"]) == 1
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["report", *receipts, "--check", str(file), "--out", str(out)]) == 0
    assert outcome_of(out) == "FAIL"
    assert '<span class="rule">size</span>' in out.read_text(encoding="utf-8")


def test_a_file_of_check_must_fit_and_stand_alone(receipts, tmp_path, capsys):
    out, file, pair = tmp_path / "report.html", tmp_path / "check.json", receipts[1:]
    assert main(["check", *pair, "--margin", "50pp", "--json"]) == 0
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    arguments = ["--check", str(file), "--out", str(out)]
    assert main(["report", *reversed(pair), *arguments]) == 2
    assert "says PASS with 1 lost and 0 gained of 9 pictures" in capsys.readouterr().err
    assert main(["report", *pair, "--margin", "1pp", "--per-class", *arguments]) == 2
    assert "Leave out --margin, --per-class, or --check." in capsys.readouterr().err
    file.write_text("{}", encoding="utf-8")
    assert main(["report", *pair, *arguments]) == 2
    assert "is not what `check --json` of this edgetl prints" in capsys.readouterr().err
    assert not out.exists()
