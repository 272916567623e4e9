"""The site of the documentation: built strictly, with all that its navigation names, and fetching nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import edgetl
import edgetl_exporters
import edgetl_runtime

ROOT = Path(__file__).parents[1]
COMMANDS = re.findall(r"^\| `edgetl ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
OURS = ("edgetl.", "edgetl_exporters.", "edgetl_runtime.")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def page(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


def test_every_entry_of_the_navigation_is_a_page(site: Path) -> None:
    shown = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert len(shown) > 25
    for name in shown:
        assert "<h1" in page(site, name.replace(".md", ".html")), name


@pytest.mark.parametrize("package", [edgetl, edgetl_exporters, edgetl_runtime])
def test_every_public_name_is_explained(site: Path, package: object) -> None:
    found = set(re.findall(r'id="([\w.]+)"', page(site, f"reference/{package.__name__}.html")))
    explained = {name.rpartition(".")[2] for name in found if name.startswith(OURS)}
    assert {name for name in package.__all__ if name != "__version__"} - explained == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_is_shown(site: Path, command: str) -> None:
    section = page(site, "reference/cli.html").partition(f'id="edgetl-{command}"')[2].partition("<h2")[0]
    assert re.search(rf"[Uu]sage: edgetl {command} ", re.sub(r"<[^>]+>", "", section))


def test_a_link_out_of_the_docs_leads_to_a_copy_of_the_file(site: Path) -> None:
    assert 'href="source/examples/camera.py.html"' in page(site, "runtime.html")
    camera = re.sub(r"<[^>]+>", "", page(site, "source/examples/camera.py.html"))
    first = (ROOT / "examples/camera.py").read_text(encoding="utf-8").splitlines()[0]
    assert first.strip('"') in camera


def test_every_decision_is_listed() -> None:
    text = (ROOT / "docs/decisions.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs/decisions").glob("*.md"):
        number, title = re.match(r"# (\d+)\. (.*)", path.read_text(encoding="utf-8")).groups()
        assert f"{number}. [{title}](decisions/{path.name})" in text


def test_no_page_fetches_anything_from_another_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?(https?:)?//", text)
        linked = re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preconnect|icon)[^>]*href=\"?(https?:)?//", text)
        assert (loaded, linked) == ([], []), path


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    told = yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [name for name in pages if not name.startswith("decisions/") and name not in told] == []
