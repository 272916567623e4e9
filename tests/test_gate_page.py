"""docs/gate.md against the code: its flags exist, its templates are ours, its test runs."""

import re
from pathlib import Path

import pytest
import yaml

from edgetl_runtime import pytest_plugin
from edgetl_runtime.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/gate.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [re.sub("^   ", "", one, flags=re.MULTILINE) for one in found]


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
