"""The doctor of a workstation: what it has besides what a device needs, what is missing, what to do."""

import inspect
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from edgetl import doctor, forward
from edgetl.cli.machine import doctor as command
from edgetl.doctor import examine
from edgetl_runtime.commands import ANYWHERE, Where, run_doctor
from edgetl_runtime.environment import read_environment
from edgetl_runtime.examination import Examination, Finding


def finding(name: str) -> Finding:
    (found,) = (one for one in examine().findings if one.name == name)
    return found


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find = doctor.find
    monkeypatch.setattr(doctor, "find", lambda name: None if name in missing else find(name))


def on_a_machine_with(monkeypatch: pytest.MonkeyPatch, *flags: str, gpu: bool = False) -> None:
    machine = replace(read_environment(), flags=flags)

    def looked(bundle: Path | None, where: Where) -> Examination:
        return replace(run_doctor(bundle, where=where), environment=machine)

    monkeypatch.setattr(doctor, "run_doctor", looked)
    monkeypatch.setattr(doctor, "_may_have_cuda", lambda: gpu)


def test_a_machine_that_runs_the_tests_has_what_is_needed() -> None:
    found = {one.name: one.state for one in examine().findings}
    assert {found[name] for name in ("torch", "timm", "onnx", "nncf", "feature extraction")} == {"ok"}


def test_it_begins_with_what_the_runtime_finds() -> None:
    ours, theirs = examine(), run_doctor()
    assert ours.findings[: len(theirs.findings)] == theirs.findings
    assert replace(ours, findings=()) == replace(theirs, findings=())


def test_a_missing_package_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "nncf", "elpv_dataset")
    assert finding("nncf") == Finding("nncf", "missing", "not installed", "Run: pip install nncf")
    pictures = finding("the demo's pictures")
    assert (pictures.state, pictures.remedy) == ("optional", "Run: pip install 'edgetl[demo]'")


def test_what_the_extraction_lacks_is_told_without_loading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torch", "openvino")
    found = finding("feature extraction")
    assert (found.state, found.found) == ("missing", "needs torch and openvino")


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (("avx512_bf16",), "OpenVINO on the processor, in bf16"),
        (("avx2",), "OpenVINO on the processor, in f32"),
    ],
)
def test_the_extraction_is_what_the_training_would_take(
    flags: tuple[str, ...], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine_with(monkeypatch, *flags)
    monkeypatch.setattr(forward, "read_environment", lambda: replace(read_environment(), flags=flags))
    assert finding("feature extraction").found == found
    assert found.endswith(forward.fast_precision("openvino"))


def test_where_there_is_a_gpu_torch_says_whether_it_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_machine_with(monkeypatch, "avx2", gpu=True)
    monkeypatch.setattr(forward, "best_forward", lambda: "torch-cuda")
    monkeypatch.setattr(forward, "fast_precision", lambda: "bf16")
    assert finding("feature extraction").found == "torch on the GPU, in bf16"
    monkeypatch.setattr(forward, "best_forward", lambda: "openvino")
    assert finding("feature extraction").found == "OpenVINO on the processor, in f32"


@pytest.mark.parametrize(
    ("node", "platform", "may"),
    [("nvidia0", "linux", True), ("dxg", "linux", True), ("null", "linux", False), ("null", "win32", True)],
)
def test_a_gpu_may_be_there_where_its_node_is(
    node: str, platform: str, may: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / node).touch()
    monkeypatch.setattr(doctor.sys, "platform", platform)
    assert doctor._may_have_cuda(tmp_path) is may


@pytest.mark.skipif(doctor._may_have_cuda(), reason="torch is asked about the GPU of this machine")
def test_without_a_gpu_no_training_library_is_loaded() -> None:
    code = (
        "import sys; from edgetl.doctor import examine; examine()\n"
        "print({'torch', 'timm', 'nncf', 'onnx', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "not yet" / "made"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage._replace(free=5 << 30))
    assert finding("disk").state == "ok"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage._replace(free=(5 << 30) - 1))
    found = finding("disk")
    assert (found.state, found.remedy) == ("warning", "Name another folder in EDGETL_CACHE, or free some.")
    assert found.found == f"5 GiB free for the feature cache in {tmp_path / 'not yet' / 'made'}"


def test_the_command_takes_what_the_runtimes_takes_with_the_same_defaults() -> None:
    taken = inspect.signature(command).parameters
    for field in fields(Where):
        assert taken[field.name].default == getattr(ANYWHERE, field.name)
