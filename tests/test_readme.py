"""README.md is run: its commands on real files, its device app on a bundle, its help against the program."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl import __version__
from edgetl.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What a command may exit with: a dozen test pictures decide nothing, and the gate says so.
ALLOWED = {"check": (0, 3)}
# What the tests add to a command so that it takes seconds: they are about the way, not about accuracy.
QUICK = {"train": ["--size", "32", "--unfreeze", "0"]}
PICTURES = 16


def block(after: str, language: str) -> str:
    """Return the first fenced block of a language behind a heading."""
    section = README.partition(f"\n## {after}\n")[2]
    return section.partition(f"```{language}\n")[2].partition("```")[0]


def commands(after: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in block(after, "bash").splitlines()]


def edgetl(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgetl", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def help_of(command: str, columns: int = 100) -> str:
    done = edgetl(command, "--help", env={"COLUMNS": str(columns), "PATH": ""})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_for_your_own_pictures_do_what_they_say(tmp_path, monkeypatch, capsys):
    for colour in ("red", "blue"):
        for number in range(PICTURES):
            write_colour(tmp_path / f"photos/{colour}/{number}.png", colour, seed=number, side=64)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "cache"))
    for program, *arguments in commands("Your own pictures"):
        assert program == "edgetl"
        code = main([*arguments, *QUICK.get(arguments[0], [])])
        assert code in ALLOWED.get(arguments[0], (0,)), capsys.readouterr()
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"cache", "photos", "run", "bundle", "float.json", "int8.json", "report.html"}


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert [command[:2] for command in commands("Two commands")] == [["make", "demo"], ["make", "test"]]
    assert set(re.findall(r"`make ([a-z-]+)`", README)) <= targets


def test_the_help_block_is_the_help():
    shown = block("Commands", "")
    assert shown == "$ edgetl --help\n" + edgetl("--help", env={"COLUMNS": "100", "PATH": ""}).stdout


def test_the_table_of_commands_has_every_command_and_no_other():
    listed = re.findall(r"^  ([a-z]+)  ", block("Commands", "").partition("Commands:")[2], re.MULTILINE)
    assert sorted(re.findall(r"^\| `edgetl ([a-z]+)", README, re.MULTILINE)) == sorted(listed)


@pytest.mark.parametrize("row", re.findall(r"^\| `edgetl .*$", README, re.MULTILINE))
def test_every_flag_in_the_table_is_the_command_s(row):
    command = re.match(r"\| `edgetl ([a-z]+)", row)[1]
    known = set(re.findall(r"--[a-z-]+", help_of(command)))
    assert set(re.findall(r"--[a-z-]+", row)) <= known
    assert {"--json", "--debug"} <= known


def test_every_flag_in_the_commands_is_the_command_s():
    for _, command, *arguments in commands("Your own pictures"):
        flags = {one for one in arguments if one.startswith("--")}
        assert flags <= set(re.findall(r"--[a-z-]+", help_of(command)))


def test_the_exit_codes_are_those_of_the_program():
    told = re.search(r"Exit codes: (.*?)\.", help_of("info"), re.DOTALL)[1]
    assert " ".join(told.split()) in " ".join(README.split())


def test_the_device_app_is_the_example_and_runs_on_a_bundle(tmp_path):
    app = ROOT / "examples/device_app.py"
    shown = block("Use it in your device app", "python")
    assert app.read_text(encoding="utf-8").endswith(f"\n\n{shown}")
    assert len(shown.splitlines()) <= 10
    assert f"```python\n{shown}```" in (ROOT / "runtime/README.md").read_text(encoding="utf-8")
    bundle = tiny_bundle(tmp_path / "bundle")
    pictures = [str(write_colour(tmp_path / f"{colour}.png", colour)) for colour in CLASSES]
    command = [sys.executable, "-", str(bundle), *pictures]
    done = subprocess.run(command, input=shown, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        [picture, colour] for picture, colour in zip(pictures, CLASSES, strict=True)
    ]


def test_every_path_in_the_tree_is_there():
    folders: list[str] = []
    for line in block("The tree", "").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.findall(r"(?:^|\s{2,})([a-z_]+(?:\.py|/))(?=\s|$)", line)
        assert names, line
        for name in names:
            assert ROOT.joinpath(*folders[:depth], name).exists(), line
        folders[depth:] = [names[0]]


def test_the_wheel_in_the_text_is_that_of_this_version():
    assert f"edgetl_runtime-{__version__}-py3-none-any.whl" in README
