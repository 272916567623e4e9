"""The pages under docs/ against the code: files are named, licences listed, links alive."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from edgetl_runtime.integer_core import IntegerCore, Port
from edgetl_runtime.manifest import Case, FileEntry, Manifest, Normalization, Variant
from edgetl_runtime.preprocess import Preprocess

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
FORMAT = (ROOT / "docs/bundle-format.md").read_text(encoding="utf-8")
JSON_BLOCKS = re.findall(r"```json\n(.*?)```", FORMAT, re.DOTALL)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("home", ["edgetl", "exporters/edgetl_exporters", "runtime/edgetl_runtime"])
def test_architecture_names_every_file(home):
    page = read("docs/architecture.md")
    for path in sorted((ROOT / home).rglob("*.py")):
        name = path.relative_to(ROOT / home).as_posix()
        assert f"`{name}`" in page or f"`{path.name}`" in page or path.name == "__init__.py", name


def test_architecture_names_no_file_that_is_not_there():
    names = set(re.findall(r"`([a-z_/]+\.py)`", read("docs/architecture.md")))
    folders = ("edgetl", "exporters", "runtime", "tests", "docs")
    there = [path.as_posix() for folder in folders for path in Path(ROOT, folder).rglob("*.py")]
    assert [name for name in sorted(names) if not any(path.endswith(f"/{name}") for path in there)] == []


def test_every_direct_dependency_has_its_licence():
    rows = set(re.findall(r"^\| ([a-z0-9-]+)", read("docs/licences.md"), re.MULTILINE))
    carriers = set(re.findall(r"^\|[^|]*\| ([a-z0-9-]+)", read("docs/licences.md"), re.MULTILINE))
    for name in ("pyproject.toml", "runtime/pyproject.toml"):
        told = tomllib.loads(read(name))["project"]
        groups = [told["dependencies"], *told["optional-dependencies"].values()]
        needed = {re.split(r"[^a-z0-9-]", one)[0] for group in groups for one in group}
        assert needed - rows - carriers == set()


def test_every_pinned_distribution_has_its_licence():
    page = set(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", read("docs/licences.md")))
    pinned = set(re.findall(r"^([a-z0-9-]+)==", read("constraints.txt"), re.MULTILINE))
    assert sorted(pinned - page) == []


def test_the_example_of_the_bundle_format_is_a_manifest():
    manifest = Manifest.from_json(JSON_BLOCKS[1])
    assert manifest.preprocess == Preprocess.from_steps(json.loads(JSON_BLOCKS[0]))


@pytest.mark.parametrize("noun", [Manifest, Variant, IntegerCore, Port, Case, FileEntry, Normalization])
def test_the_bundle_format_explains_every_key(noun):
    for field in fields(noun):
        assert f"`{field.name}`" in FORMAT, field.name


def test_decisions_are_numbered_without_gaps():
    names = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
