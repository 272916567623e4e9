"""What is installed and what is built: this checkout, one version, and a runtime that carries no torch.

`make wheels` runs this on the files it has built in dist/; otherwise they are built here.
"""

import configparser
import email
import importlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edgetl
import edgetl_exporters
import edgetl_runtime

ROOT = Path(__file__).parents[1]
PROJECTS = {"edgetl": ROOT / "pyproject.toml", "edgetl-runtime": ROOT / "runtime/pyproject.toml"}
SCRIPTS = {
    "edgetl": {"edgetl": "edgetl.__main__:run", "edgetl-runtime": "edgetl_runtime.cli:main"},
    "edgetl-runtime": {"edgetl-runtime": "edgetl_runtime.cli:main"},
}
TOPS = {"edgetl": {"edgetl", "edgetl_exporters", "edgetl_runtime"}, "edgetl-runtime": {"edgetl_runtime"}}


def project(name: str) -> dict:
    return tomllib.loads(PROJECTS[name].read_text(encoding="utf-8"))["project"]


def requirements(name: str, *, extras: bool = True) -> list[Requirement]:
    """Return what a distribution requires, by its pyproject; its extras too."""
    told = project(name)
    more = [one for group in told["optional-dependencies"].values() for one in group] if extras else []
    return [Requirement(one) for one in (*told["dependencies"], *more)]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def closure(wanted: Requirement) -> dict[str, str]:
    """Return the installed versions of a requirement and of all that it requires in turn."""
    found, todo = {}, [(wanted.name, extra) for extra in ("", *wanted.extras)]
    for name, extra in todo:
        found[canonicalize_name(name)] = metadata.version(name)
        needed = [Requirement(one) for one in metadata.requires(name) or ()]
        here = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]
        more = [(one.name, more) for one in here for more in ("", *one.extras)]
        todo += [one for one in dict.fromkeys(more) if one not in todo]
    return found


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the wheels and sdists of both projects."""
    if "EDGETL_DIST" in os.environ:
        return ROOT / os.environ["EDGETL_DIST"]
    folder = tmp_path_factory.mktemp("dist")
    for name in PROJECTS:
        # In this environment: the tests need no package index.
        command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
        subprocess.run(command, cwd=PROJECTS[name].parent, check=True, capture_output=True)
    return folder


def wheel(dist: Path, name: str) -> zipfile.ZipFile:
    (path,) = dist.glob(f"{name.replace('-', '_')}-*-py3-none-any.whl")
    return zipfile.ZipFile(path)


def wheel_metadata(dist: Path, name: str) -> email.message.Message:
    with wheel(dist, name) as opened:
        (path,) = (one for one in opened.namelist() if one.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(opened.read(path))


def members(dist: Path, name: str) -> set[str]:
    """Return the files of a wheel that are not metadata."""
    with wheel(dist, name) as opened:
        return {one for one in opened.namelist() if ".dist-info/" not in one}


@pytest.mark.parametrize("package", [edgetl, edgetl_exporters, edgetl_runtime])
def test_the_tests_run_this_checkout(package):
    home = {"edgetl": ROOT, "edgetl_exporters": ROOT / "exporters", "edgetl_runtime": ROOT / "runtime"}
    assert Path(package.__file__).parent == home[package.__name__] / package.__name__


def test_the_device_s_distribution_is_not_installed_beside_the_workstation_s():
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("edgetl-runtime")


def test_the_version_is_written_in_one_place():
    assert edgetl.__version__ is edgetl_runtime.__version__
    for name, path in PROJECTS.items():
        assert "version" not in project(name)
        source = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["hatch"]["version"]["path"]
        assert (path.parent / source).samefile(edgetl_runtime.__file__)


def test_the_installed_version_is_this_one():
    assert metadata.version("edgetl") == edgetl.__version__


def test_the_changelog_begins_with_this_version():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert edgetl.__version__ in headings[0]


def test_the_public_names_of_edgetl_are_sorted_and_resolve():
    assert edgetl.__all__ == sorted(set(edgetl.__all__))
    for name in edgetl.__all__:
        assert getattr(edgetl, name) is not None


def test_no_module_of_edgetl_shares_its_name_with_a_public_object():
    for name in edgetl.__all__:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"edgetl.{name}")


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_holds_its_packages_whole_and_nothing_else(dist, name):
    homes = {"edgetl": ROOT, "edgetl_exporters": ROOT / "exporters", "edgetl_runtime": ROOT / "runtime"}
    files = {
        path.relative_to(homes[top]).as_posix()
        for top in TOPS[name]
        for path in (homes[top] / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert members(dist, name) == files


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_is_named_licensed_and_versioned(dist, name):
    told = wheel_metadata(dist, name)
    assert (told["Name"], told["Version"]) == (name, edgetl.__version__)
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    assert told["Requires-Python"] == ">=3.11"
    assert told["Summary"]


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_brings_its_commands_and_the_pytest_plugin(dist, name):
    with wheel(dist, name) as opened:
        (path,) = (one for one in opened.namelist() if one.endswith("entry_points.txt"))
        told = configparser.ConfigParser()
        told.read_string(opened.read(path).decode())
    assert {group: dict(told[group]) for group in told.sections()} == {
        "console_scripts": SCRIPTS[name],
        "pytest11": {"edgetl": "edgetl_runtime.pytest_plugin"},
    }


@pytest.mark.parametrize("name", PROJECTS)
def test_a_source_distribution_builds_by_itself(dist, name):
    (path,) = dist.glob(f"{name.replace('-', '_')}-{edgetl.__version__}.tar.gz")
    with tarfile.open(path) as opened:
        names = {one.partition("/")[2] for one in opened.getnames()}
    source = "edgetl_runtime" if name == "edgetl-runtime" else "runtime/edgetl_runtime"
    assert {"pyproject.toml", "LICENSE", f"{source}/__init__.py", f"{source}/py.typed"} <= names


def test_the_runtime_s_wheel_requires_three_packages_and_none_of_them_is_torch(dist):
    needed = [Requirement(one) for one in wheel_metadata(dist, "edgetl-runtime").get_all("Requires-Dist")]
    assert {one.name for one in needed if one.marker is None} == {"numpy", "onnxruntime", "pillow"}
    assert {str(one.marker): one.name for one in needed if one.marker} == {
        'extra == "fast"': "simplejpeg",
        'extra == "openvino"': "openvino",
        'extra == "pytest"': "pytest",
        'extra == "qnn"': "onnxruntime-qnn",
        'extra == "sign"': "cryptography",
    }


def test_no_requirement_names_a_host(dist):
    for name in PROJECTS:
        assert not any(Requirement(one).url for one in wheel_metadata(dist, name).get_all("Requires-Dist"))


def test_both_licence_files_are_the_same():
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "runtime/LICENSE").read_bytes()


def test_what_the_runtime_needs_the_workstation_needs_at_versions_that_suit_both():
    for extras in (False, True):
        workstation = {one.name: one.specifier for one in requirements("edgetl", extras=extras)}
        for one in requirements("edgetl-runtime", extras=extras):
            # The exporters may need newer ones than a device does.
            assert all(one.specifier.contains(bound.version) for bound in workstation[one.name])
            assert len(workstation[one.name]) == len(one.specifier)


def test_the_constraints_are_exact_pins_and_name_no_place():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.]*", line)] == []
    assert len(pins()) == len(lines)


def test_every_requirement_is_pinned_at_a_version_that_it_allows():
    pinned = pins()
    for name in PROJECTS:
        for one in requirements(name):
            assert one.specifier.contains(pinned[canonicalize_name(one.name)]), one


def test_all_that_edgetl_brings_along_is_installed_at_its_pinned_version():
    pinned, found = pins(), closure(Requirement("edgetl[dev,demo,docs,lite]"))
    del found["edgetl"]
    assert {name: pinned.get(name) for name in found} == found
