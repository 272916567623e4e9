"""Qualcomm's Hexagon by ONNX Runtime's plugin, on the simulator that its package for x86 brings."""

import json
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from runtime_factories import tiny_pixels
from tiny_bundle import DATA, tiny_bundle, tiny_logits, tiny_variant, write_colour

from edgetl_runtime.cautions import of_device
from edgetl_runtime.engines import Engine, load_engine, qnn
from edgetl_runtime.errors import EngineError, ProofError
from edgetl_runtime.remembered import cache_folder
from edgetl_runtime.session import Session
from edgetl_runtime.validation import validate

SIMULATED = "qnn (simulated)"
MODEL = DATA / "tiny.qnn.onnx"
IMAGES = np.stack([tiny_pixels(seed, width=32, height=32) for seed in range(4)])

on_simulator = pytest.mark.skipif(
    find_spec("onnxruntime_qnn") is None or not qnn.is_simulator(),
    reason="needs onnxruntime-qnn with its simulator: an x86 processor, and pip install onnxruntime-qnn",
)


def opened(model: Path = MODEL, **changes: object) -> Engine:
    arguments = {"device": "qnn", "execution": "f32", "batch": 1, "threads": 1} | changes
    return load_engine("onnxruntime")(model, **arguments)


def qnn_bundle(path: Path) -> Path:
    """A bundle with a variant for the Hexagon after those for the CPU."""
    (path / "qnn").mkdir(parents=True)
    shutil.copyfile(MODEL, path / "qnn/model.onnx")
    made = tiny_variant(
        "onnxruntime",
        name="qnn-int8",
        precision="int8",
        model="qnn/model.onnx",
        files=("qnn/model.onnx",),
        tolerance=0.1,
        batch=1,
        device="qnn",
    )
    return tiny_bundle(path, variants=(tiny_variant("openvino"), tiny_variant("onnxruntime"), made))


def package() -> ModuleType:
    module = ModuleType("onnxruntime_qnn")
    module.get_qnn_htp_path = lambda: "/lib/libQnnHtp.so"  # type: ignore[attr-defined]
    return module


def test_the_simulator_is_told_what_it_stands_for_and_a_device_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(qnn.VARIABLE, raising=False)
    own = {"backend_path": "/lib/libQnnHtp.so"}
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert qnn.options(package()) == own
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    assert qnn.options(package()) == own | {"htp_arch": "73", "soc_model": "60"}


def test_the_environment_overrides_what_the_provider_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv(qnn.VARIABLE, " htp_arch=75 , backend_path=/own/libQnnHtp.so,")
    told = {"backend_path": "/own/libQnnHtp.so", "htp_arch": "75", "soc_model": "60"}
    assert qnn.options(package()) == told


@pytest.mark.parametrize("text", ["htp_arch", "htp_arch=", "arch=75", "htp_arch=75,soc_model"])
def test_an_environment_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match=r"\$EDGETL_QNN must set some of backend_path, htp_arch, soc_model"):
        qnn.read_variable(text)


def test_measurements_on_it_say_that_no_hardware_was_tried() -> None:
    assert of_device("qnn") == (
        "not yet run on hardware: no Hexagon was there when edgetl was tested, only its simulator",
    )
    assert of_device(SIMULATED) == ("simulated by Qualcomm's library for x86, not yet run on hardware",)


def test_a_device_that_is_not_there_falls_back_only_to_what_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", None)
    bundle = qnn_bundle(tmp_path / "bundle")
    with pytest.raises(EngineError, match=r"no device 'qnn' here; .*Run: pip install onnxruntime-qnn"):
        Session.open(bundle, device="qnn")
    with Session.open(bundle, device="qnn", fallback="cpu") as session:
        assert session.variant.name in ("openvino-fp32", "onnx-fp32")
        assert "Run: pip install onnxruntime-qnn" in session.skipped[0].reason


@on_simulator
def test_the_simulator_computes_the_graph_and_says_that_it_is_one() -> None:
    engine = opened()
    logits = np.concatenate([engine.run(image[np.newaxis])[0] for image in IMAGES])
    np.testing.assert_allclose(logits, tiny_logits(IMAGES), atol=0.05)
    assert engine.executed_device == SIMULATED
    assert "'htp_arch': '73', 'soc_model': '60'" in engine.driver
    assert load_engine("onnxruntime").devices()["qnn"] == "QNNExecutionProvider (simulated)"


@on_simulator
def test_every_thread_gets_the_answer_of_the_simulator_to_its_own_question() -> None:
    engine, expected = opened(), tiny_logits(IMAGES)

    def off(number: int) -> float:
        logits, _ = engine.run(IMAGES[number % 4][np.newaxis])
        return float(np.abs(logits[0] - expected[number % 4]).max())

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(off, range(40))) < 0.05


@on_simulator
def test_another_hexagon_is_simulated_where_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(qnn.VARIABLE, "htp_arch=75,soc_model=57")
    engine = opened()
    assert "'htp_arch': '75', 'soc_model': '57'" in engine.driver
    np.testing.assert_allclose(engine.run(IMAGES[:1])[0], tiny_logits(IMAGES[:1]), atol=0.05)
    monkeypatch.setenv(qnn.VARIABLE, "soc_model=9999")
    with pytest.raises(EngineError, match=r"cannot open 'tiny\.qnn\.onnx'"):
        opened()


@on_simulator
def test_a_compiled_graph_is_kept_and_gives_the_same_logits(tmp_path: Path) -> None:
    first = opened(cache=tmp_path).run(IMAGES[:1])
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(opened(cache=tmp_path).run(IMAGES[:1]), first)
    assert kept.stat().st_mtime_ns == written
    np.testing.assert_array_equal(opened(kept).run(IMAGES[:1]), first)  # It needs no graph beside it.
    kept.write_bytes(b"nothing")
    np.testing.assert_array_equal(opened(cache=tmp_path).run(IMAGES[:1]), first)
    assert kept.stat().st_mtime_ns > written


@on_simulator
def test_a_session_proves_itself_on_the_simulator_once(tmp_path: Path) -> None:
    bundle = qnn_bundle(tmp_path / "bundle")
    for remembered in (False, True):
        with Session.open(bundle, device="qnn") as session:
            assert (session.variant.name, session.device) == ("qnn-int8", SIMULATED)
            assert session.proof is not None
            assert session.proof.ok
            assert session.proof.remembered is remembered
            assert len([one for one in session.proof.checks if one.quantity == "logits"]) == 4
    assert len(list(cache_folder().glob("bundles/*/compiled/context-*.onnx"))) == 1


@on_simulator
def test_a_file_that_is_right_on_the_cpu_and_wrong_there_is_refused_by_the_proof(tmp_path: Path) -> None:
    bundle = qnn_bundle(tmp_path / "bundle")
    Session.open(bundle, variant="onnx-fp32").close()
    message = r"'onnx-fp32' disagrees .* on 'qnn \(simulated\)': case 'jpeg': logits off by"
    with pytest.raises(ProofError, match=message):
        Session.open(bundle, variant="onnx-fp32", device="qnn")


@on_simulator
def test_validate_runs_on_the_simulator_and_tells_no_times(tmp_path: Path) -> None:
    for seed, colour in enumerate(("red", "green", "blue") * 2):
        write_colour(tmp_path / f"data/{colour}/{seed}.png", colour, seed)
    with Session.open(qnn_bundle(tmp_path / "bundle"), device="qnn") as session:
        receipt = validate(session, tmp_path / "data")
    assert receipt.device == SIMULATED
    assert receipt.figures["accuracy"].value == 1
    assert (receipt.latency, receipt.performance) == ({}, None)
    assert receipt.environment.notes == of_device(SIMULATED)
    assert "onnxruntime-qnn" in receipt.environment.versions


@on_simulator
def test_the_fastest_is_never_the_simulator(tmp_path: Path) -> None:
    bundle = qnn_bundle(tmp_path / "bundle")
    with Session.open(bundle, device="auto") as session:
        assert session.device == "cpu"
        assert session.choice is not None
        assert not [place for place in session.choice.times_ms if "qnn" in place]
    with pytest.raises(EngineError, match="qnn-int8 on qnn: simulated: no times, so never chosen"):
        Session.open(bundle, variant="qnn-int8", device="auto")


@on_simulator
def test_what_the_simulator_prints_stays_out_of_the_results(tmp_path: Path) -> None:
    bundle, picture = qnn_bundle(tmp_path / "bundle"), write_colour(tmp_path / "red.png", "red")
    code = "import sys; from edgetl_runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "predict", str(bundle), str(picture), "--device", "qnn", "--json"]
    made = subprocess.run(command, capture_output=True, check=True)
    found = json.loads(made.stdout)
    assert (found["device"], found["answers"][0]["label"]) == (SIMULATED, "red")
