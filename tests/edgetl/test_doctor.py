"""The doctor: what is there, what is missing, and what to do about it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgetl import doctor
from edgetl.doctor import Examination, Finding, examine, render_examination
from edgetl_runtime.environment import read_environment


def finding(name: str) -> Finding:
    (found,) = (one for one in examine().findings if one.name == name)
    return found


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find_spec = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in missing else find_spec(name))


def test_a_machine_that_runs_the_tests_has_what_is_needed() -> None:
    found = {one.name: one.state for one in examine().findings}
    assert {found[name] for name in ("torch", "timm", "onnx", "openvino", "feature extraction")} == {"ok"}


def test_a_missing_package_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "nncf", "elpv_dataset")
    assert finding("nncf") == Finding("nncf", "missing", "not installed", "Run: pip install nncf")
    assert finding("the demo's pictures").remedy == "Run: pip install 'edgetl[demo]'"


def test_what_the_extraction_lacks_is_told_without_loading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torch", "openvino")
    found = finding("feature extraction")
    assert (found.state, found.found) == ("missing", "needs torch and openvino")


@pytest.mark.parametrize(
    ("flags", "state", "found"),
    [
        (("avx512f", "avx512_vnni"), "ok", "in hardware (avx512_vnni)"),
        (("avx2",), "warning", "no VNNI"),
        ((), "warning", "the system does not tell the processor's instruction sets"),
    ],
)
def test_int8_depends_on_the_processor(
    flags: tuple[str, ...], state: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(read_environment(), flags=flags)
    monkeypatch.setattr(doctor, "read_environment", lambda: machine)
    one = finding("int8")
    assert (one.state, one.found) == (state, found)


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "not yet" / "made"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage._replace(free=5 << 30))
    assert finding("disk").state == "ok"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage._replace(free=(5 << 30) - 1))
    found = finding("disk")
    assert (found.state, found.remedy) == ("warning", "Name another folder in EDGETL_CACHE, or free some.")
    assert found.found == f"5 GiB free for the feature cache in {tmp_path / 'not yet' / 'made'}"


def test_findings_are_lines_with_their_remedies() -> None:
    machine = replace(read_environment(), cpu="A CPU", cores=2, os="Linux", python="CPython 3.11")
    findings = (
        Finding("torch", "ok", "2.9"),
        Finding("nncf", "missing", "not installed", "Run: pip install nncf"),
    )
    assert render_examination(Examination(machine, findings)).splitlines() == [
        "A CPU, 2 cores, Linux, CPython 3.11",
        "",
        "ok       torch: 2.9",
        "missing  nncf: not installed",
        "         Run: pip install nncf",
    ]
