"""ci/release.sh refuses what must not be released; the hooks before a commit run what is in .venv alone."""

import os
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def checkout(root: Path, changes: str, *, version: str = "1.2.3") -> Path:
    """A git checkout with nothing but what the script looks at."""
    (root / "ci").mkdir(parents=True)
    shutil.copy2(ROOT / "ci/release.sh", root / "ci/release.sh")
    (root / "runtime/edgetl_runtime").mkdir(parents=True)
    (root / "runtime/edgetl_runtime/__init__.py").write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    (root / "CHANGELOG.md").write_text(f"# Changes\n\n{changes}\n\n- All.\n", encoding="utf-8")
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def release(root: Path, *arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["bash", str(root / "ci/release.sh"), *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=root.parent, env=environment
    )
    return done.returncode, done.stderr + done.stdout


def test_a_clean_tree_with_a_dated_section_may_be_released(tmp_path: Path) -> None:
    root = checkout(tmp_path / "tree", "## 1.2.3 (2026-11-25)")
    code, said = release(root, "--check")
    assert (code, said.startswith("edgetl 1.2.3 at ")) == (0, True)
    assert not (root / "dist").exists()


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_a_dirty_tree_is_refused_and_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    root = checkout(tmp_path / "tree", "## 1.2.3 (2026-11-25)")
    (root / "left behind.txt").touch()
    code, said = release(root, *arguments)
    assert code == 2
    assert said == ('error: the tree is dirty. Commit or remove these first:\n?? "left behind.txt"\n')


@pytest.mark.parametrize(
    "heading",
    [
        "## 1.2.3 (unreleased)",
        "## 1.2.3",
        "## 1.2.4 (2026-11-25)",
        "## 1x2.3 (2026-11-25)",
        "## 1.2.3 (25.11.2026)",
    ],
)
def test_a_version_without_a_dated_section_is_refused(tmp_path: Path, heading: str) -> None:
    code, said = release(checkout(tmp_path / "tree", heading))
    assert code == 2
    assert said.startswith("error: CHANGELOG.md has no dated section for 1.2.3. Write: ## 1.2.3 (20")


def test_a_checkout_without_a_version_is_refused(tmp_path: Path) -> None:
    code, said = release(checkout(tmp_path / "tree", "## 1.2.3 (2026-11-25)", version=""))
    assert (code, said.partition(".")[0]) == (2, "error: no version in runtime/edgetl_runtime/__init__")


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    code, said = release(checkout(tmp_path / "tree", "## 1.2.3 (2026-11-25)"), "--upload")
    assert (code, said) == (2, "error: ci/release.sh takes --check, --date or nothing, got '--upload'.\n")


def test_a_section_that_is_not_released_gets_the_date_of_today(tmp_path: Path) -> None:
    root = checkout(tmp_path / "tree", "## 1.2.3 (unreleased)\n\n- New.\n\n## 1x2.3 (unreleased)")
    today = f"{date.today():%Y-%m-%d}"
    assert release(root, "--date") == (
        0,
        f"CHANGELOG.md says: ## 1.2.3 ({today}). Commit it, then: ci/release.sh\n",
    )
    assert (root / "CHANGELOG.md").read_text(encoding="utf-8") == (
        f"# Changes\n\n## 1.2.3 ({today})\n\n- New.\n\n## 1x2.3 (unreleased)\n\n- All.\n"
    )
    assert release(root)[0] == 2  # The change is not committed.


@pytest.mark.parametrize("heading", ["## 1.2.3 (2026-11-25)", "## 1.2.4 (unreleased)"])
def test_without_a_section_that_is_not_released_nothing_is_dated(tmp_path: Path, heading: str) -> None:
    root = checkout(tmp_path / "tree", heading)
    before = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    said = "error: CHANGELOG.md has no section to date. Write: ## 1.2.3 (unreleased)\n"
    assert release(root, "--date") == (2, said)
    assert (root / "CHANGELOG.md").read_text(encoding="utf-8") == before


def test_the_script_uploads_nothing() -> None:
    text = (ROOT / "ci/release.sh").read_text(encoding="utf-8")
    assert "twine check" in text
    assert "twine upload" not in text
    assert "git push" not in text


def test_the_hooks_before_a_commit_are_those_of_make_lint_and_fetch_nothing() -> None:
    told = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in told["repos"]] == ["local"]
    hooks = told["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    entries = [hook["entry"].replace(" --force-exclude", "") for hook in hooks]
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    assert [f"\t$(BIN)/{one.removeprefix('.venv/bin/')}" for one in entries] == [
        line.removesuffix(" .") for line in lint.splitlines()[1:]
    ]


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda p: p.stem
)
def test_a_form_for_issues_asks_for_something_with_its_own_names(path: Path) -> None:
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(told) == {"name", "description", "labels", "body"}
    names = [field["id"] for field in told["body"]]
    assert len(set(names)) == len(names)
    assert all(field["attributes"]["label"] for field in told["body"])
    assert any(field.get("validations", {}).get("required") for field in told["body"])


def test_the_page_for_contributors_names_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `make ([a-z-]+)`", text, re.MULTILINE)) <= targets
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] in text
