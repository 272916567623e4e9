"""The shell steps of ci/ are taken out of their files and run as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from receipt_factories import flipped

from edgetl_runtime.ledger import read_ledger

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "ci/action.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text(encoding="utf-8"))[".edgetl-gate"]
PASS, FAIL, OPEN = (
    {"lost": lost, "gained": 8, "both": both} for lost, both in ((8, 9_984), (90, 902), (12, 980))
)


def shell(
    script: str, folder: Path, variables: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "--noprofile", "--norc", *options, "-c", script]
    environment = {**os.environ, **variables, "PATH": path}
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)


def write_receipts(folder: Path, counts: dict[str, int]) -> None:
    for name, receipt in zip(("baseline", "candidate"), flipped(**counts), strict=True):
        receipt.write(folder / "receipts" / f"{name}.json")


def run_action(folder: Path, counts: dict[str, int], **given: str) -> subprocess.CompletedProcess[str]:
    """Run the steps as GitHub does: `bash -e -o pipefail`, inputs put into the environment."""
    write_receipts(folder, counts)
    inputs = {name: str(told.get("default", "")) for name, told in ACTION["inputs"].items()}
    inputs |= {
        "baseline": "receipts/baseline.json",
        "candidate": "receipts/candidate.json",
        "install": "",
    } | given
    files = {
        "RUNNER_TEMP": folder,
        "GITHUB_STEP_SUMMARY": folder / "summary",
        "GITHUB_OUTPUT": folder / "output",
    }
    for step in ACTION["runs"]["steps"]:
        told = {
            name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found[1]], value)
            for name, value in step["env"].items()
        }
        variables = told | {name: str(path) for name, path in files.items()}
        done = shell(step["run"], folder, variables, "-e", "-o", "pipefail")
        if done.returncode:
            break
    return done


@pytest.mark.parametrize(("counts", "code"), [(PASS, 0), (FAIL, 1), (OPEN, 3)])
def test_the_action_exits_with_the_verdict_and_writes_its_summary(tmp_path, counts, code):
    done = run_action(tmp_path, counts)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "output").read_text(encoding="utf-8") == f"exit-code={code}\n"
    word = {0: "PASS", 1: "FAIL", 3: "INCONCLUSIVE"}[code]
    assert (
        (tmp_path / "summary").read_text(encoding="utf-8").splitlines()[0].endswith(f"edgetl check: {word}")
    )
    assert done.stderr.startswith("::error " if code else "::notice ")
    assert ElementTree.parse(tmp_path / "edgetl-junit.xml").find("testsuite").get("tests") == "1"


def test_the_action_passes_further_arguments_line_by_line_and_none_becomes_a_command(tmp_path):
    done = run_action(
        tmp_path, OPEN, arguments="--per-class\n--class-margin\n9pp\n", **{"on-inconclusive": "warn"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("::warning ")
    assert "per class" in (tmp_path / "summary").read_text(encoding="utf-8")
    for name in ("margin", "arguments", "baseline", "alpha", "ledger"):
        run_action(tmp_path, OPEN, **{name: '"; touch owned; $(touch owned) `touch owned` #'})
        assert not (tmp_path / "owned").exists()


def test_the_action_takes_alpha_and_keeps_a_ledger(tmp_path):
    assert run_action(tmp_path, OPEN, margin="0.9pp").returncode == 3
    assert not (tmp_path / "ledger.jsonl").exists()
    done = run_action(tmp_path, OPEN, margin="0.9pp", alpha="0.2", ledger="ledger.jsonl")
    assert done.returncode == 0, done.stderr
    (kept,) = read_ledger(tmp_path / "ledger.jsonl").decisions
    assert (kept.margin, kept.alpha, kept.outcome) == (0.009, 0.2, "PASS")


def test_the_action_says_what_is_wrong_with_its_input(tmp_path):
    done = run_action(tmp_path, PASS, baseline="none.json")
    assert done.returncode == 2
    assert "The receipt none.json cannot be read" in done.stderr
    assert not (tmp_path / "summary").exists()


def test_every_input_of_the_action_is_used_and_every_used_one_is_there():
    text = (ROOT / "ci/action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(ACTION["inputs"])
    assert not any("${{" in step["run"] for step in ACTION["runs"]["steps"])


@pytest.mark.parametrize(("counts", "code"), [(PASS, 0), (FAIL, 1), (OPEN, 3)])
def test_the_gitlab_job_exits_with_the_verdict_and_leaves_its_artifacts(tmp_path, counts, code):
    write_receipts(tmp_path, counts)
    variables = {**GITLAB["variables"], "EDGETL_INSTALL": "", "EDGETL_ARGUMENTS": "--max-size-ratio 1.1"}
    done = shell("\n".join([*GITLAB["before_script"], *GITLAB["script"]]), tmp_path, variables, "-e")
    assert done.returncode == code, done.stderr
    assert (code in GITLAB["allow_failure"]["exit_codes"]) == (code == 3)
    suite = ElementTree.parse(tmp_path / GITLAB["artifacts"]["reports"]["junit"]).find("testsuite")
    assert suite.get("tests") == "2"
    assert (tmp_path / GITLAB["artifacts"]["paths"][0]).is_file()
    assert "\x1b[" in done.stderr


def test_the_gitlab_job_takes_alpha_and_keeps_a_ledger(tmp_path):
    write_receipts(tmp_path, OPEN)
    given = {"EDGETL_MARGIN": "0.9pp", "EDGETL_ALPHA": "0.2", "EDGETL_LEDGER": "ledger.jsonl"}
    done = shell("\n".join(GITLAB["script"]), tmp_path, GITLAB["variables"] | given, "-e")
    assert done.returncode == 0, done.stderr
    (kept,) = read_ledger(tmp_path / "ledger.jsonl").decisions
    assert (kept.margin, kept.alpha, kept.outcome) == (0.009, 0.2, "PASS")
