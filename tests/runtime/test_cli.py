import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from receipt_factories import flipped
from tiny_bundle import CLASSES, edit_manifest, tiny_bundle, write_colour

from edgetl_runtime import __version__
from edgetl_runtime.cli import info, main
from edgetl_runtime.errors import InputError
from edgetl_runtime.percent import parse_points
from edgetl_runtime.receipt import Receipt

COMMANDS = (
    "predict",
    "validate",
    "merge",
    "check",
    "plan",
    "fleet",
    "ledger",
    "bench",
    "info",
    "doctor",
    "install",
    "rollback",
)


@pytest.fixture
def bundle(tmp_path):
    return tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def data(tmp_path):
    seed = 0
    for colour in CLASSES:
        for number in range(2):
            seed += 1
            write_colour(tmp_path / "data" / colour / f"{number}.png", colour, seed)
    return tmp_path / "data"


@pytest.fixture
def receipts(tmp_path):
    """Write two receipts; returns their paths as arguments."""

    def write(**counts):
        paths = [tmp_path / "before.json", tmp_path / "after.json"]
        for path, receipt in zip(paths, flipped(**counts), strict=True):
            receipt.write(path)
        return [str(path) for path in paths]

    return write


def test_predict_prints_a_line_per_picture(bundle, data, capsys):
    assert main(["predict", str(bundle), str(data / "red" / "0.png"), str(data / "blue" / "1.png")]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["picture", "label", "confidence"]
    assert first.split()[1] == "red"
    assert second.split()[1] == "blue"


def test_predict_prints_one_json_object(bundle, data, capsys):
    picture = str(data / "green" / "0.png")
    assert main(["predict", str(bundle), picture, "--json", "--variant", "onnx-fp32"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["variant"], found["classes"]) == ("onnx-fp32", list(CLASSES))
    (answer,) = found["answers"]
    assert (answer["picture"], answer["label"], answer["labels"]) == (picture, "green", ["green"])
    assert answer["confidence"] == max(answer["probabilities"]) == answer["probabilities"][1]


def test_validate_goes_on_with_its_journal_and_removes_it(bundle, data, tmp_path, capsys):
    out, journal = tmp_path / "out" / "r.json", tmp_path / "out" / ".r.json.journal"
    arguments = ["validate", str(bundle), str(data), "--split", "all", "--out", str(out)]
    assert main([*arguments, "--limit", "2"]) == 0
    assert out.is_file()
    assert not journal.exists()
    journal.write_text('{"subject": {"bundle": "another"}}\n', encoding="utf-8")
    assert main([*arguments, "--resume"]) == 2
    assert "was begun with another bundle" in capsys.readouterr().err
    assert main(arguments) == 0
    assert not journal.exists()
    assert Receipt.read(out).dataset.n == 6
    assert main(["validate", str(bundle), str(data), "--resume"]) == 2
    assert "--resume needs --out" in capsys.readouterr().err


def test_only_a_receipt_is_replaced_by_a_receipt(bundle, data, tmp_path, capsys):
    mine = tmp_path / "thesis.txt"
    mine.write_text("chapter one", encoding="utf-8")
    assert main(["validate", str(bundle), str(data), "--split", "all", "--out", str(mine)]) == 2
    assert "thesis.txt' is there and will not be replaced: " in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == "chapter one"
    assert main(["validate", str(bundle), str(data), "--out", str(mine / "r.json")]) == 2
    assert "Nothing can be written in " in capsys.readouterr().err


def test_bench_times_every_variant_that_can_be_used(bundle, data, capsys):
    assert main(["bench", str(bundle), str(data / "red" / "0.png"), "--rounds", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["variant"] == "onnx-fp32"
    for one in found:
        assert list(one["stages"]) == ["decode", "resize", "infer", "outputs", "total"]
        assert one["stages"]["total"]["n"] == 3
        assert one["stages"]["total"]["p50_ms"] > one["stages"]["infer"]["p50_ms"] > 0
        assert one["stream_per_s"] > 0
    assert main(["bench", str(bundle), "--rounds", "2", "--variant", "onnx-fp32", "--threads", "1"]) == 0
    output = capsys.readouterr()
    header, row = output.out.splitlines()[:2]
    assert header.split() == [
        "p50",
        "in",
        "ms",
        "on",
        "decode",
        "resize",
        "infer",
        "outputs",
        "total",
        "p95",
        "stream/s",
    ]
    assert row.split()[:2] == ["onnx-fp32", "cpu"]
    assert "2 runs each" in output.out


def test_doctor_tells_the_machine_and_what_a_bundle_would_be_opened_as(bundle, capsys):
    assert main(["doctor"]) == 0
    assert "ok        onnxruntime " in capsys.readouterr().out
    assert main(["doctor", str(bundle), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["opening"]["device_asked"] == "auto"
    assert found["opening"]["variant"] == found["opening"]["choice"]["variant"]
    assert main(["doctor", str(bundle), "--variant", "onnx-fp32", "--device", "cpu"]) == 0
    told = "Bundle colours, variant onnx-fp32, device cpu, for latency: onnx-fp32 on cpu."
    assert told in capsys.readouterr().out
    assert main(["doctor", str(bundle), "--device", "npu9"]) == 2
    output = capsys.readouterr()
    assert "no device 'npu9' here" in " ".join(output.out.split())
    assert output.err == ""


def test_bench_says_what_cannot_be_used(bundle, capsys):
    assert main(["bench", str(bundle), "--rounds", "0"]) == 2
    assert "--rounds must be at least 1, got 0" in capsys.readouterr().err
    assert main(["bench", str(bundle), "--device", "npu9"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("note: variant 'onnx-fp32' was skipped: Engine 'onnxruntime' has no device")
    assert lines[-1].startswith("error: No variant of the bundle can be used here. onnx-fp32: ")


def test_a_fallback_is_used_and_said(bundle, data, capsys):
    arguments = ["predict", str(bundle), str(data / "red" / "0.png"), "--device", "npu9"]
    assert main(arguments) == 2
    capsys.readouterr()
    assert main([*arguments, "--fallback", "cpu", "--hint", "throughput"]) == 0
    output = capsys.readouterr()
    assert output.err.startswith("note: variant 'auto on npu9' was skipped: Engine ")
    assert "red" in output.out


def test_a_broken_picture_is_an_error_and_the_others_are_predicted(bundle, data, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"nonsense")
    paths = [str(tmp_path / "broken.png"), str(data / "red" / "0.png")]
    assert main(["predict", str(bundle), *paths]) == 2
    output = capsys.readouterr()
    assert "red" in output.out
    assert output.err.startswith("error: The picture ")
    assert output.err.count("\n") == 1
    assert main(["predict", str(bundle), *paths, "--json"]) == 2
    assert set(json.loads(capsys.readouterr().out)["answers"][0]) == {"picture", "error"}


def test_validate_writes_a_receipt_and_prints_its_figures(bundle, data, tmp_path, capsys):
    out = tmp_path / "receipts" / "r.json"
    assert main(["validate", str(bundle), str(data), "--out", str(out), "--limit", "5"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("colours onnx-fp32 on ")
    assert "\naccuracy " in output.out
    assert output.err == ""
    assert Receipt.read(out).dataset.n == 5


def test_validate_prints_the_receipt_as_json(bundle, data, capsys):
    assert main(["validate", str(bundle), str(data), "--json"]) == 0
    assert Receipt.from_json(capsys.readouterr().out).figures["accuracy"].value == 1.0


def test_validate_refuses_a_folder_as_receipt_before_any_work(bundle, data, tmp_path, capsys):
    assert main(["validate", str(tmp_path / "no-bundle"), str(data), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: --out must name a file, got the folder {tmp_path}.")


def test_validate_shows_progress_on_a_terminal_only(bundle, data, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["validate", str(bundle), str(data)]) == 0
    assert capsys.readouterr().err.endswith("\r5 of 6 pictures\r6 of 6 pictures\n")


def test_a_skipped_variant_is_told(bundle, data, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    pytest.importorskip("openvino")
    assert main(["predict", str(bundle), str(data / "red" / "0.png")]) == 0
    note = capsys.readouterr().err
    assert note.startswith("note: variant 'onnx-fp32' was skipped: Engine 'onnxruntime' is not installed")


@pytest.mark.parametrize(
    ("counts", "code", "word"),
    [
        ({"lost": 30, "gained": 20, "both": 4_950}, 0, "PASS"),
        ({"lost": 50, "gained": 5, "both": 945}, 1, "FAIL"),
        ({"lost": 12, "gained": 8, "both": 980}, 3, "INCONCLUSIVE"),
    ],
)
def test_check_exits_with_the_verdict_and_names_it_first(receipts, capsys, counts, code, word):
    assert main(["check", *receipts(**counts)]) == code
    assert capsys.readouterr().out.split(":")[0] == word


def test_an_inconclusive_check_can_be_let_through_but_says_so(receipts, capsys):
    assert main(["check", *receipts(lost=12, gained=8, both=980), "--on-inconclusive", "warn"]) == 0
    assert capsys.readouterr().out.startswith("INCONCLUSIVE: ")
    assert main(["check", *receipts(lost=50, gained=5, both=945), "--on-inconclusive", "warn"]) == 1


def test_check_takes_a_margin_in_points(receipts):
    paths = receipts(lost=12, gained=8, both=980)
    assert main(["check", *paths, "--margin", "1.27pp"]) == 0
    assert main(["check", *paths, "--margin", "0.0127"]) == 0
    assert main(["check", *paths, "--margin", "1.26%"]) == 3


def test_check_prints_one_json_object(receipts, capsys):
    assert main(["check", *receipts(lost=12, gained=8, both=980), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["lost"], found["gained"], found["n"]) == ("INCONCLUSIVE", 12, 8, 1_000)
    assert found["interval"]["low"] == pytest.approx(-0.00420, abs=1e-5)
    assert len(found["flips"]) == 20
    assert set(found["flips"][0]) == {"sha256", "target", "before", "after"}


def test_info_shows_the_bundle(bundle, capsys):
    assert main(["info", str(bundle)]) == 0
    assert capsys.readouterr().out.startswith("bundle    colours\nid        ")
    assert main(["info", str(bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["name"] == "colours"


def test_a_device_that_disagrees_fails_its_contract(bundle, data, capsys):
    edit_manifest(bundle, lambda manifest: manifest["variants"][0].update(tolerance=1e-12))
    assert main(["predict", str(bundle), str(data / "red" / "0.png"), "--variant", "onnx-fp32"]) == 1
    assert "disagrees with the reference cases" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.5pp", 0.005), (" 0.5 % ", 0.005), ("0.005", 0.005), ("0.7pp", 0.007), ("20pp", 0.2)],
)
def test_a_margin_can_be_written_in_three_ways(text, share):
    assert parse_points(text) == share


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "0.5",
            r"A margin of '0\.5' would be 50 percentage points\. Write 0\.5pp, or 50pp if so many are meant",
        ),
        ("half", r"A margin must be like 0\.5pp, 0\.5% or 0\.005, got 'half'"),
        ("pp", "got 'pp'"),
    ],
)
def test_an_ambiguous_margin_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_points(text)


@pytest.mark.parametrize("margin", ["nan", "-1pp", "0pp", "60pp"])
def test_an_impossible_margin_is_wrong_usage(receipts, capsys, margin):
    assert main(["check", *receipts(lost=1, gained=1, both=10), f"--margin={margin}"]) == 2
    assert capsys.readouterr().err.startswith("error: margin must lie in (0, 0.5]")


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["check", "one.json"], ["validate", "b", "d", "--limit", "x"]]
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: edgetl-runtime")


def test_the_version_and_every_help_exit_with_0(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgetl-runtime {__version__}\n"
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert "Exit codes: 0 pass, 1 a gate or contract failed" in text


def test_bad_input_is_one_line_without_a_traceback(tmp_path, capsys):
    assert main(["info", str(tmp_path / "missing")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: There is no bundle at ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "debug"),
    [(["info", "b"], False), (["--debug", "info", "b"], True), (["info", "b", "--debug"], True)],
)
def test_an_internal_error_exits_with_70_and_a_traceback_only_on_demand(
    monkeypatch, capsys, arguments, debug
):
    def break_down(bundle, *, trust):
        raise KeyError("x")

    monkeypatch.setattr(info, "run_info", break_down)
    assert main(arguments) == 70
    message = capsys.readouterr().err
    assert message.endswith(
        "error: KeyError: 'x'. This is a fault of edgetl: run again with --debug and report it.\n"
    )
    assert message.startswith("Traceback") is debug


def test_a_file_that_cannot_be_written_is_bad_input(monkeypatch, capsys):
    def refuse(bundle, *, trust):
        raise PermissionError(13, "Permission denied", "b")

    monkeypatch.setattr(info, "run_info", refuse)
    assert main(["info", "b"]) == 2
    assert capsys.readouterr().err == "error: [Errno 13] Permission denied: 'b'\n"


def test_an_interrupt_exits_with_130(monkeypatch, capsys):
    def interrupt(bundle, *, trust):
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "run_info", interrupt)
    assert main(["info", "b"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_stops_reading_changes_neither_exit_code_nor_stderr(receipts):
    paths = receipts(lost=50, gained=5, both=945)
    code = f"import sys; from edgetl_runtime.cli import main; sys.exit(main(['check', *{paths!r}]))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 1


def test_names_outside_the_terminals_encoding_are_escaped(tmp_path):
    bundle = str(tiny_bundle(tmp_path / "bundle", classes=("rot", "grün", "青")))
    done = subprocess.run(
        [sys.executable, "-c", f"from edgetl_runtime.cli import main; main(['info', {bundle!r}])"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"rot, gr\\xfcn, \\u9752" in done.stdout


def test_names_cannot_drive_the_terminal(receipts, capsys):
    before, after = receipts(lost=50, gained=5, both=945)
    for path in (before, after):
        text = Path(path).read_text(encoding="utf-8").replace('"dog"', r'"\u001b[2Jdog"')
        Path(path).write_text(text, encoding="utf-8")
    assert main(["check", before, after]) == 1
    assert r"\x1b[2Jdog" in (output := capsys.readouterr().out)
    assert "\x1b" not in output


def test_help_imports_neither_numpy_nor_pillow_nor_an_engine():
    code = (
        "import sys; from edgetl_runtime.cli import main; main(['validate', '--help']);"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'PIL', 'onnxruntime', 'openvino')))"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
