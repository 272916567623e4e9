"""docs/runtime.md is run: its snippets on a bundle, its commands and flags, and its table."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl_runtime.cli import COMMANDS, main
from edgetl_runtime.known_bad import KNOWN_BAD, KnownBad

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/runtime.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def row(one: KnownBad) -> str:
    sources = " ".join(
        f"[{number}]({source})" for number, source in enumerate(map(link, one.sources), start=1)
    )
    avoided = "edgetl itself" if one.avoided else ""
    return f"| {one.name} | {one.sentence} | {one.remedy} | {avoided} | {sources} |"


def link(source: str) -> str:
    """Return where a source is, as this page reaches it."""
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return "#known-bad-combinations" if source.startswith("measured for edgetl") else source


def table() -> str:
    ordered = sorted(KNOWN_BAD, key=lambda one: one.avoided)
    head = ["| what | what happens | the way out | avoided by | reported |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(row, ordered)])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_bundle(tmp_path / "bundle")
    for colour in CLASSES:
        write_colour(tmp_path / "photos" / f"{colour}.png", colour)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_snippets_run_one_after_the_other(place: Path) -> None:
    snippets = blocks("python")
    assert len(snippets) == 5
    command = [sys.executable, "-W", "error", "-c", "\n".join(snippets)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("red 0.")
    assert lines[-2].startswith("label: Prediction(label='red'")
    assert lines[-1].startswith("not usable: The picture ")
    # Where there is no NPU the reason is told, else it is the device.
    assert any(line.startswith("auto on npu ") for line in lines) or "npu" in lines


def test_the_commands_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    assert [command[:2] for command in commands] == [
        ["edgetl-runtime", "doctor"],
        ["edgetl-runtime", "doctor"],
        ["edgetl-runtime", "bench"],
    ]
    for _, *arguments in commands:
        assert main(arguments) == 0, capsys.readouterr()
    assert "for throughput:" in capsys.readouterr().out


def test_every_flag_is_one_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"--cpu"}  # of `edgetl export`
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE)) <= known


def test_the_table_of_known_bad_combinations_is_the_programs() -> None:
    shown = PAGE.partition("edgetl_runtime.known_bad -->\n")[2].partition("\n\n")[0]
    assert shown == table()


def test_what_was_measured_is_told_for_every_row_that_says_so() -> None:
    told = PAGE.partition("\nMeasured for edgetl on x86 Linux")[2].partition("\n## ")[0]
    for word in ("AUTO:NPU,CPU", "onnxruntime-ep-openvino", "onnxruntime-qnn", "symmetric", "openvino.Core"):
        assert word in told
    measured = [one for one in KNOWN_BAD if any(source.startswith("measured") for source in one.sources)]
    assert len(measured) == 5
