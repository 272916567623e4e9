"""What the doctor finds on machines that lack this or that, and what it says of a bundle."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from tiny_bundle import edit_manifest, tiny_bundle, tiny_variant

from edgetl_runtime import examination, surroundings
from edgetl_runtime.commands import ANYWHERE, Where, run_doctor
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import BundleError
from edgetl_runtime.examination import Examination, Finding, examine
from edgetl_runtime.known_bad import KNOWN_BAD


def finding(name: str) -> Finding:
    (found,) = (one for one in run_doctor().findings if one.name == name)
    return found


def missing(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Block modules, as if nobody had installed them."""
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    version = metadata.version

    def told(name: str) -> str:
        if name in modules:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(surroundings.metadata, "version", told)


def names_of_known_bad(found: Examination) -> set[str]:
    return {row.name for row in found.known_bad}


def test_every_engine_is_told_with_its_version_and_devices() -> None:
    ort, openvino = run_doctor().engines
    assert (ort.name, ort.version, ort.error) == ("onnxruntime", metadata.version("onnxruntime"), "")
    assert ort.devices["cpu"] == "CPUExecutionProvider"
    assert openvino.name == "openvino"
    assert ("cpu" in openvino.devices) is (openvino.version is not None)


def test_an_engine_that_is_missing_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, "openvino")
    ort, openvino = run_doctor().engines
    assert (openvino.version, openvino.devices, openvino.without) == (None, {}, "optional")
    assert openvino.error.endswith("is not installed. Run: pip install 'edgetl-runtime[openvino]'")
    assert ort.without == "missing"  # The runtime depends on it.


def test_without_onnx_runtime_nothing_is_said_of_its_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("device qnn of onnxruntime").state in ("ok", "optional")
    missing(monkeypatch, "onnxruntime")
    found = run_doctor()
    assert "is not installed" in found.engines[0].error
    assert not [one.name for one in found.findings if one.name.startswith("device ")]


@pytest.mark.parametrize("distribution", ["edgetl", "edgetl-runtime"])
def test_an_extra_that_is_missing_is_told_for_the_distribution_that_is_installed(
    distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"edgetl": "edgetl-runtime", "edgetl-runtime": "edgetl"}[distribution]
    missing(monkeypatch, "simplejpeg", other)
    real = examination.installed_of
    here = {distribution: "0.1.0"}
    monkeypatch.setattr(
        examination,
        "installed_of",
        lambda names: here if distribution in names and len(names) == 1 else real(names),
    )
    found = finding("JPEG decoded faster")
    assert (found.state, found.found) == ("optional", "simplejpeg is not installed")
    assert found.remedy == f"Run: pip install '{distribution}[fast]'"


@pytest.mark.parametrize(
    ("flags", "state", "found"),
    [
        (("avx512f", "avx512_vnni"), "ok", "in hardware (avx512_vnni)"),
        (("asimd", "asimddp", "i8mm"), "ok", "in hardware (asimddp, i8mm)"),
        (("avx2",), "warning", "no instructions for it: measure what it gives with bench"),
        ((), "warning", "the system does not tell the processor's instruction sets"),
    ],
)
def test_int8_depends_on_the_processor(
    flags: tuple[str, ...], state: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = "aarch64" if "asimd" in flags else "x86_64"
    machine = replace(read_environment(), flags=flags, machine=family)
    monkeypatch.setattr(examination, "read_environment", lambda: machine)
    one = finding("int8")
    assert (one.state, one.found) == (state, found)
    assert ("int8 without VNNI" in names_of_known_bad(run_doctor())) is (flags == ("avx2",))


def test_a_quota_below_the_cores_is_a_warning_with_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = replace(read_environment(), cores=8)
    monkeypatch.setattr(examination, "read_environment", lambda: machine)
    monkeypatch.setattr(examination, "cpu_quota", lambda: 2.5)
    found = finding("cores")
    assert (found.state, found.found) == ("warning", "8 are seen, a container's quota pays for 2.5")
    assert found.remedy == "Say so to engines: --threads 2."
    assert "CPU quota below the threads" in names_of_known_bad(run_doctor())
    assert "CPU quota below the threads" not in names_of_known_bad(
        run_doctor(where=replace(ANYWHERE, threads=2))
    )
    monkeypatch.setattr(examination, "cpu_quota", lambda: 8.0)
    assert finding("cores").state == "ok"


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "not yet" / "made"))
    assert finding("what is remembered") == Finding(
        "what is remembered", "ok", f"in {tmp_path / 'not yet' / 'made'}"
    )
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "file" / "below"))
    found = finding("what is remembered")
    assert (found.state, "EDGETL_CACHE" in found.remedy) == ("warning", True)


def test_a_bundle_is_told_with_the_times_that_decided(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    opening = run_doctor(bundle).opening
    assert opening is not None
    assert (opening.bundle, opening.variant_asked, opening.device_asked) == ("colours", "auto", "auto")
    assert opening.choice is not None
    assert not opening.choice.remembered
    assert f"{opening.variant} on {opening.device}" in opening.choice.times_ms
    again = run_doctor(bundle).opening
    assert again is not None
    assert again.choice == replace(opening.choice, remembered=True)


def test_what_could_not_be_used_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "openvino")
    opening = run_doctor(tiny_bundle(tmp_path / "bundle")).opening
    assert opening is not None
    assert (opening.variant, [one.variant for one in opening.skipped]) == ("onnx-fp32", ["openvino-fp32"])
    assert "is not installed. Run: pip install" in opening.skipped[0].reason


@pytest.mark.parametrize(
    ("where", "lie", "exit_code", "error"),
    [
        (Where(device="npu9"), 0, 2, "has no device 'npu9' here"),
        (Where("onnx-fp32"), 1, 1, "logits off by 1"),
    ],
)
def test_a_bundle_that_cannot_be_opened_is_a_finding_with_an_exit_code(
    where: Where, lie: int, exit_code: int, error: str, tmp_path: Path
) -> None:
    lies = {"onnx-fp32": lambda logits: logits + lie}
    found = run_doctor(tiny_bundle(tmp_path / "bundle", logits=lies), where=where)
    assert found.opening is not None
    assert (found.opening.variant, found.exit_code) == (None, exit_code)
    assert error in found.opening.error
    assert found.engines  # The machine is told all the same.


def test_a_device_that_was_never_tried_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    monkeypatch.setattr(examination, "of_device", lambda device: (f"{device} is new to us",))
    opening = run_doctor(bundle, where=Where("onnx-fp32")).opening
    assert opening is not None
    assert opening.notes == ("cpu is new to us",)


def test_a_damaged_bundle_is_refused_as_everywhere(tmp_path: Path) -> None:
    bundle = edit_manifest(tiny_bundle(tmp_path / "bundle"), lambda value: value.pop("classes"))
    with pytest.raises(BundleError):
        run_doctor(bundle)


@pytest.mark.parametrize(
    ("precision", "contract", "met"),
    [
        ("fp32", {}, False),
        ("int8", {}, True),
        ("int8", {"weights_bits": 8}, True),
        ("int8", {"weights_bits": 7}, False),
    ],
)
def test_what_is_known_of_int8_concerns_bundles_with_int8(
    precision: str, contract: dict[str, int], met: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(read_environment(), flags=("avx2",), machine="x86_64")
    monkeypatch.setattr(examination, "read_environment", lambda: machine)
    variant = tiny_variant("onnxruntime", precision=precision, contract=contract)
    found = run_doctor(tiny_bundle(tmp_path / "bundle", variants=(variant,)))
    assert ("int8 without VNNI" in names_of_known_bad(found)) is met


def test_the_device_that_is_asked_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(examination, "has_npu_compiler", lambda: False)
    found = examine(None, Where(device="AUTO:NPU,CPU"))
    if not any(name.startswith("npu") for name in found.engines[1].devices):
        assert {"AUTO:NPU,CPU answered by the CPU", "NPU without its compiler"} <= names_of_known_bad(found)


def test_json_holds_everything_but_the_predicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "known_bad", lambda facts: KNOWN_BAD)
    value = json.loads(json.dumps(run_doctor(tiny_bundle(tmp_path / "bundle")).to_json(), allow_nan=False))
    assert set(value) == {"environment", "quota", "engines", "findings", "known_bad", "opening"}
    assert set(value["known_bad"][0]) == {"name", "sentence", "remedy", "sources", "avoided"}
    assert value["opening"]["choice"]["times_ms"]


def test_it_loads_the_engines_and_nothing_heavier() -> None:
    code = (
        "import sys; from edgetl_runtime.commands import run_doctor; run_doctor()\n"
        "print({'PIL.Image', 'torch', 'simplejpeg', 'cryptography'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
