"""docs/gate.md against the code: its flags exist, its templates are ours, its commands and its test run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl_runtime import pytest_plugin
from edgetl_runtime.cli import COMMANDS, main

# Without a flip so many pictures certify the page's margin of one point.
PICTURES = 300
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/gate.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [re.sub("^    ", "", one, flags=re.MULTILINE) for one in found]


def test_every_flag_is_one_of_a_command_or_of_the_plugin(capsys):
    known = {f"--edgetl-{name}" for name in pytest_plugin._OPTIONS}
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE)) <= known


def test_every_command_is_one_of_ours():
    commands = [line.split()[:2] for block in blocks("bash") for line in block.splitlines()]
    assert [program for program, _ in commands] == ["edgetl-runtime"] * 5
    assert {command for _, command in commands} == {"plan", "validate", "check", "fleet"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The folder of a reader who has two bundles and pictures, and has typed all commands of the page."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("bundle-now", "bundle-next"):
        tiny_bundle(folder / name)
    for number in range(PICTURES):
        colour = CLASSES[number % len(CLASSES)]
        write_colour(folder / "data" / colour / f"{number}.png", colour, number)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "EDGETL_CACHE": str(folder / "cache")}
    environment.pop("EDGETL_LEDGER", None)
    for block in blocks("bash"):
        subprocess.run(["bash", "-ec", block], cwd=folder, env=environment, check=True, capture_output=True)
    return folder, environment


def test_the_commands_leave_what_the_next_ones_read(reader):
    folder, _ = reader
    assert sorted(path.name for path in (folder / "receipts").iterdir()) == [
        "baseline.json",
        "candidate.json",
    ]


def run_the_test_of_the_page(folder, environment):
    (block,) = blocks("python")
    (folder / "test_model.py").write_text(block, encoding="utf-8")
    (command,) = re.findall(r"`(pytest --[^`]+)`", PAGE)
    return subprocess.run(
        [sys.executable, "-m", *command.split(), "-p", "no:cacheprovider", "test_model.py"],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_test_passes_and_fails_once_the_model_is_worse(reader):
    folder, environment = reader
    done = run_the_test_of_the_page(folder, environment)
    assert "1 passed" in done.stdout, done.stdout
    # Twenty red pictures are painted blue; the receipt says of the model before that it still found them red.
    for picture in sorted((folder / "data/red").iterdir())[:20]:
        write_colour(picture, "blue", seed=PICTURES + int(picture.stem))
    subprocess.run(
        ["edgetl-runtime", "validate", "bundle-now", "data", "--out", "receipts/baseline.json"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    baseline = json.loads((folder / "receipts/baseline.json").read_text(encoding="utf-8"))
    baseline["predictions"]["predicted"] = baseline["predictions"]["target"]
    (folder / "receipts/baseline.json").write_text(json.dumps(baseline), encoding="utf-8")
    done = run_the_test_of_the_page(folder, environment)
    assert "1 failed" in done.stdout, done.stdout
    assert "FAIL: the drop of accuracy is +6.67 pp on 300 pictures" in done.stdout


def test_the_templates_are_used_with_inputs_that_they_have():
    action, gitlab = (yaml.safe_load(block) for block in blocks("yaml"))
    template = yaml.safe_load((ROOT / "ci/action.yml").read_text(encoding="utf-8"))
    assert (ROOT / action[0]["uses"] / "action.yml").is_file()
    assert set(action[0]["with"]) <= set(template["inputs"])
    known = yaml.safe_load((ROOT / gitlab["include"][0]["local"]).read_text(encoding="utf-8"))
    assert set(gitlab["gate"]["variables"]) <= set(known[gitlab["gate"]["extends"]]["variables"])


@pytest.mark.parametrize(
    "name", ["accuracy", "negative flips", "per class", "calibration", "latency", "size", "memory"]
)
def test_every_rule_is_explained(name):
    assert re.search(rf"^\| [a-z0-9, ]*{name.split()[0]}", PAGE, re.MULTILINE | re.IGNORECASE)
