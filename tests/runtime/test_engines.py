import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from runtime_factories import tiny_pixels
from tiny_bundle import DATA, tiny_logits

from edgetl_runtime.engines import ENGINES, Engine, Port, check_graph, load_engine
from edgetl_runtime.errors import BundleError, EngineError

MODELS = {"onnxruntime": DATA / "tiny.onnx", "openvino": DATA / "tiny.xml"}
IMAGES = np.stack([tiny_pixels(seed, width=32, height=32) for seed in range(4)])

each_engine = pytest.mark.parametrize("name", list(ENGINES))


def opened(name: str, model: Path | None = None, **changes: object) -> Engine:
    pytest.importorskip(name)
    arguments = {"device": "cpu", "execution": "f32", "batch": 4, "threads": 1} | changes
    return load_engine(name)(model or MODELS[name], **arguments)


@each_engine
@pytest.mark.parametrize("batch", [1, 4])
def test_every_engine_computes_the_graph_in_float32(name: str, batch: int) -> None:
    images = IMAGES[:batch]
    logits, probabilities = opened(name, batch=batch).run(images)
    expected = tiny_logits(images)
    powers = np.exp(expected / 2.0)
    assert logits.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)


@each_engine
def test_outputs_survive_the_next_run(name: str) -> None:
    engine = opened(name)
    first = engine.run(IMAGES)
    kept = [array.copy() for array in first]
    engine.run(IMAGES[::-1])
    np.testing.assert_array_equal(first, kept)


@each_engine
def test_any_memory_layout_is_taken_and_left_as_it_was(name: str) -> None:
    engine = opened(name)
    expected = engine.run(IMAGES)
    strided = np.asfortranarray(IMAGES)
    frozen = IMAGES.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(engine.run(strided), expected)
    np.testing.assert_array_equal(engine.run(frozen), expected)
    np.testing.assert_array_equal(frozen, IMAGES)


@each_engine
def test_every_thread_gets_the_answer_to_its_own_question(name: str) -> None:
    engine = opened(name, batch=1)
    expected = tiny_logits(IMAGES)

    def ask(number: int) -> float:
        logits, _ = engine.run(IMAGES[number % 4][np.newaxis])
        return float(np.abs(logits[0] - expected[number % 4]).max())

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(ask, range(400))) < 1e-4


@each_engine
def test_the_shape_is_static(name: str) -> None:
    engine = opened(name)
    with pytest.raises(EngineError, match="failed to run 'tiny"):
        engine.run(IMAGES[:1])


@each_engine
def test_an_engine_says_what_it_is_and_where_it_runs(name: str) -> None:
    engine = opened(name, device="CPU", threads=None)
    assert engine.executed_device == "cpu"
    assert engine.version.startswith(version(name))


@each_engine
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(EngineError, match=rf"Engine '{name}' has no device 'npu9' here; it has 'cpu'"):
        opened(name, device="npu9")


@each_engine
def test_a_damaged_model_is_refused(name: str, tmp_path: Path) -> None:
    model = tmp_path / MODELS[name].name
    model.write_bytes(b"not a model")
    model.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(EngineError, match=f"cannot open '{model.name}': .*"):
        opened(name, model)


@each_engine
def test_opening_and_running_prints_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    opened(name, threads=None).run(IMAGES)
    assert capfd.readouterr() == ("", "")


def test_openvino_opens_no_other_format(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"Engine 'openvino' opens '.xml' files, got 'tiny.onnx'."):
        opened("openvino", DATA / "tiny.onnx")


def test_openvino_needs_the_weights_beside_the_graph(tmp_path: Path) -> None:
    (tmp_path / "tiny.xml").write_bytes(MODELS["openvino"].read_bytes())
    with pytest.raises(EngineError, match=r"cannot open 'tiny\.xml'"):
        opened("openvino", tmp_path / "tiny.xml")


def test_onnxruntime_does_not_execute_in_bfloat16() -> None:
    with pytest.raises(EngineError, match="executes in 'f32' or 'f16', got 'bf16'"):
        opened("onnxruntime", execution="bf16")


@each_engine
def test_a_processor_computes_in_float32_what_may_be_float16(name: str) -> None:
    np.testing.assert_allclose(opened(name, execution="f16").run(IMAGES)[0], tiny_logits(IMAGES), atol=1e-5)


def test_openvino_executes_in_bfloat16_or_says_that_it_cannot() -> None:
    try:
        engine = opened("openvino", execution="bf16")
    except EngineError as error:
        assert "not in 'bf16'; choose another variant." in str(error)
    else:
        off = np.abs(engine.run(IMAGES)[0] - tiny_logits(IMAGES)).max()
        assert 1e-4 < off < 0.2


def port(name: str, dtype: str, *shape: int | None) -> Port:
    return Port(name, dtype, shape)


IMAGES_PORT = port("images", "uint8", 2, 32, 32, 3)
LOGITS, PROBABILITIES = port("logits", "float32", 2, 5), port("probabilities", "float32", 2, 5)


def test_the_contract_of_the_graph_is_uint8_images_to_logits_and_probabilities() -> None:
    check_graph(Path("m.onnx"), 2, [IMAGES_PORT], [PROBABILITIES, LOGITS, port("features", "float32", 2, 9)])


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([], [LOGITS, PROBABILITIES]),
        ([port("x", "uint8", 2, 32, 32, 3)], [LOGITS, PROBABILITIES]),
        ([port("images", "float32", 2, 32, 32, 3)], [LOGITS, PROBABILITIES]),
        ([port("images", "uint8", 2, 3, 32, 32)], [LOGITS, PROBABILITIES]),
        ([port("images", "uint8", 1, 32, 32, 3)], [LOGITS, PROBABILITIES]),
        ([port("images", "uint8", 2, None, None, 3)], [LOGITS, PROBABILITIES]),
        ([IMAGES_PORT, port("scale", "float32", 1)], [LOGITS, PROBABILITIES]),
        ([IMAGES_PORT], [LOGITS]),
        ([IMAGES_PORT], [LOGITS, port("probabilities", "float32", 2, 6)]),
        ([IMAGES_PORT], [port("logits", "float16", 2, 5), PROBABILITIES]),
        ([IMAGES_PORT], [port("logits", "float32", None, 5), port("probabilities", "float32", None, 5)]),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(inputs: list[Port], outputs: list[Port]) -> None:
    with pytest.raises(BundleError, match=r"The graph of 'm.onnx' must take 'images' uint8 \(2, h, w, 3\)"):
        check_graph(Path("m.onnx"), 2, inputs, outputs)


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineError) as error:
        load_engine("tensorrt")
    assert str(error.value) == "Engine 'tensorrt' is unknown; known are 'onnxruntime', 'openvino'."


@pytest.mark.parametrize(
    ("name", "module", "command"),
    [
        ("openvino", "openvino", "pip install 'edgetl-runtime[openvino]'"),
        ("onnxruntime", "ort", "pip install onnxruntime"),
    ],
)
def test_a_missing_engine_says_how_to_install_it(
    name: str, module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError) as error:
        load_engine(name)
    assert str(error.value) == f"Engine {name!r} is not installed. Run: {command}"


def test_a_module_that_only_bears_the_name_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", ModuleType("openvino"))
    with pytest.raises(EngineError, match="Engine 'openvino' is not installed"):
        load_engine("openvino")


def test_an_engine_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so.12 is missing')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.delitem(sys.modules, "edgetl_runtime.engines.openvino", raising=False)
    with pytest.raises(EngineError) as error:
        load_engine("openvino")
    assert str(error.value) == (
        "Engine 'openvino' is installed but does not load: libtbb.so.12 is missing. "
        "Reinstall it: pip install 'edgetl-runtime[openvino]'"
    )


def test_opening_an_engine_tells_nobody_and_leaves_no_trace_in_the_home_folder(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    code = (
        "import sys; from edgetl_runtime.engines import load_engine; load_engine('openvino').devices()\n"
        "sys.exit('openvino_telemetry' in sys.modules)"
    )
    environment = {"HOME": str(tmp_path), "PATH": ""}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    assert list(tmp_path.iterdir()) == []


@each_engine
def test_an_engine_names_the_devices_that_are_here(name: str) -> None:
    engine = opened(name)
    devices = type(engine).devices()
    assert "cpu" in devices
    assert engine.driver.startswith(devices["cpu"])
    assert "azure" not in devices  # A service elsewhere is no device.


@each_engine
@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_either_hint_gives_the_same_answers(name: str, hint: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        engine = opened(name, hint=hint, threads=None)
        for logits, _ in pool.map(engine.run, [IMAGES] * 20):
            np.testing.assert_allclose(logits, tiny_logits(IMAGES), atol=1e-5)


def test_openvino_keeps_what_it_compiled(tmp_path: Path) -> None:
    opened("openvino", cache=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert files
    again = opened("openvino", cache=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    np.testing.assert_allclose(again.run(IMAGES)[0], tiny_logits(IMAGES), atol=1e-5)


def test_a_damaged_graph_in_the_cache_is_compiled_again(tmp_path: Path) -> None:
    opened("openvino", cache=tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    np.testing.assert_allclose(
        opened("openvino", cache=tmp_path).run(IMAGES)[0], tiny_logits(IMAGES), atol=1e-5
    )


@pytest.mark.parametrize("device", ["auto", "AUTO:CPU", "multi:cpu"])
def test_a_virtual_device_says_where_it_truly_runs(device: str) -> None:
    engine = opened("openvino", device=device)
    assert engine.executed_device == "cpu"
    np.testing.assert_allclose(engine.run(IMAGES)[0], tiny_logits(IMAGES), atol=1e-4)


@pytest.mark.parametrize("device", ["gpu", "npu", "gpu.3", "multi", "myriad"])
def test_openvino_refuses_a_device_that_is_not_there(device: str) -> None:
    openvino = pytest.importorskip("openvino")
    if device.partition(".")[0].upper() in {
        one.partition(".")[0] for one in openvino.Core().available_devices
    }:
        pytest.skip(f"this machine has a {device}")
    with pytest.raises(EngineError, match=f"Engine 'openvino' has no device '{device}' here; it has 'cpu'"):
        opened("openvino", device=device)


def test_a_device_whose_driver_does_not_answer_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenVINO does with an NPU whose driver is broken; the CPU must stay usable beside it."""
    openvino = pytest.importorskip("openvino")

    class Core:
        available_devices = ("CPU", "NPU")

        def get_property(self, name: str, fact: str) -> object:
            if name == "NPU":
                raise RuntimeError("Exception from src/npu.cpp:1:\nNo available backend")
            return ["FULL_DEVICE_NAME"] if fact == "SUPPORTED_PROPERTIES" else "A CPU"

    engine = load_engine("openvino")
    monkeypatch.setattr(openvino, "Core", Core)
    assert engine.devices() == {"cpu": "A CPU", "npu": "does not answer: No available backend"}


def test_an_npu_that_is_not_there_says_what_it_needs() -> None:
    with pytest.raises(EngineError, match=r"An NPU needs its driver, and read access to /dev/accel\.$"):
        opened("openvino", device="npu")


def test_all_engines_of_a_process_share_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO 2026.4 crashed now and then where cores were made and destroyed beside each other."""
    openvino = pytest.importorskip("openvino")
    made: list[object] = []

    class Counted(openvino.Core):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(openvino, "Core", Counted)
    load_engine("openvino").devices()
    for _ in range(3):
        np.testing.assert_allclose(opened("openvino").run(IMAGES)[0], tiny_logits(IMAGES), atol=1e-5)
    assert len(made) == 1


def test_a_cache_is_asked_for_each_time(tmp_path: Path) -> None:
    opened("openvino", cache=tmp_path / "first")
    opened("openvino", batch=2)
    opened("openvino", batch=1, cache=tmp_path / "second")
    assert [len(list((tmp_path / name).iterdir())) for name in ("first", "second")] == [1, 1]


NO_COMPILER = (  # What OpenVINO 2026.4 says without the libraries of the compiler.
    "Exception from src/inference/src/cpp/core.cpp:131:\n"
    "plugin_compiler_adapter.cpp:54: VCL compiler loading failed, aborting. Error: vcl_api.cpp:22: Cannot "
    'load library "/lib/libopenvino_intel_npu_compiler_loader.so": cannot open shared object file'
)
NO_DEVICE = (
    "compiler_adapter_factory.cpp:64: Could not find an NPU device. The driver compiler requires a valid "
    "device to be present in the system."
)


class CompiledForNpu:
    """What was compiled for the CPU, calling itself an NPU's."""

    def __init__(self, compiled: object) -> None:
        self._compiled = compiled

    def __getattr__(self, name: str) -> object:
        return getattr(self._compiled, name)

    def get_property(self, name: str) -> object:
        openvino = pytest.importorskip("openvino")
        told = {"EXECUTION_DEVICES": ["NPU"], "INFERENCE_PRECISION_HINT": openvino.Type.f16}
        return told[name] if name in told else self._compiled.get_property(name)


def core_with_npu(message: str = "") -> type:
    """OpenVINO's core with an NPU that answers as the CPU does, or fails to compile with a message."""
    openvino = pytest.importorskip("openvino")
    true = openvino.Core

    class CoreWithNpu:
        available_devices = ("CPU", "NPU")
        asked: ClassVar[list[dict[str, object]]] = []

        def read_model(self, *files: Path) -> object:
            return true().read_model(*files)

        def compile_model(self, graph: object, device: str, settings: dict[str, object]) -> object:
            self.asked.append(settings)
            if message:
                raise RuntimeError(message)
            return CompiledForNpu(true().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))

        def get_property(self, device: str, name: str) -> object:
            told = {"SUPPORTED_PROPERTIES": ["NPU_DRIVER_VERSION"], "NPU_DRIVER_VERSION": "1.5"}
            return told[name]

    return CoreWithNpu


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (NO_COMPILER, "The NPU is here, but OpenVINO's compiler for it is not: .* Put both, .* a fallback."),
        (NO_DEVICE, "OpenVINO finds no NPU. An NPU needs its driver, and read access to /dev/accel."),
    ],
)
def test_an_npu_that_cannot_compile_says_what_is_missing_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, message: str, words: str
) -> None:
    monkeypatch.setattr(pytest.importorskip("openvino"), "Core", core_with_npu(message))
    expected = f"cannot open 'tiny.xml': {words}.* OpenVINO says: .*cpp:"
    with pytest.raises(EngineError, match=expected) as error:
        opened("openvino", device="npu", execution="f16")
    assert "Exception from" not in str(error.value)


def test_an_npu_is_asked_for_float16_and_reported_as_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino, core = pytest.importorskip("openvino"), core_with_npu()
    monkeypatch.setattr(openvino, "Core", core)
    engine = opened("openvino", device="npu", execution="f16")
    assert (engine.executed_device, engine.driver) == ("npu", "1.5")
    assert core.asked[-1]["INFERENCE_PRECISION_HINT"] == openvino.Type.f16
    np.testing.assert_allclose(engine.run(IMAGES)[0], tiny_logits(IMAGES), atol=1e-4)


@pytest.mark.parametrize("execution", ["f32", "bf16"])
def test_a_variant_that_an_npu_cannot_compute_is_refused_before_it_compiles(
    monkeypatch: pytest.MonkeyPatch, execution: str
) -> None:
    core = core_with_npu()
    monkeypatch.setattr(pytest.importorskip("openvino"), "Core", core)
    with pytest.raises(EngineError, match=rf"in float16, and this variant in '{execution}'\. Open one"):
        opened("openvino", device="npu", execution=execution)
    assert core.asked == []


def test_float16_is_not_left_to_a_device_that_chooses() -> None:
    with pytest.raises(EngineError, match="needs a device by its own name, got 'auto:cpu'"):
        opened("openvino", device="auto:cpu", execution="f16")


@pytest.mark.parametrize(
    ("device", "command"),
    [("qnn", "pip install onnxruntime-qnn"), ("openvino", "pip install onnxruntime-ep-openvino")],
)
def test_a_provider_that_a_package_brings_says_how_to_get_it(
    device: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for module in ("onnxruntime_qnn", "onnxruntime_ep_openvino"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineError, match=rf"no device '{device}' here; it has .*'cpu'.*\. Run: {command}$"):
        opened("onnxruntime", device=device)


def test_a_provider_that_gives_the_work_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["ToyExecutionProvider"])
    monkeypatch.setattr(  # What ONNX Runtime does where a provider's library does not load.
        onnxruntime,
        "InferenceSession",
        lambda model, options, providers: session(model, providers=["CPUExecutionProvider"]),
    )
    message = "was asked for 'ToyExecutionProvider' and runs on 'CPUExecutionProvider'"
    with pytest.raises(EngineError, match=message):
        opened("onnxruntime", device="toy")


@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("raise OSError('libQnn.so is missing')", "does not load: libQnn.so is missing. Reinstall it: pip "),
        ("return '/nowhere/libqnn.so'", "does not load: .*Reinstall it: pip install onnxruntime-qnn"),
    ],
)
def test_a_provider_whose_library_does_not_load_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, message: str
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    # An earlier test may have registered the real one.
    monkeypatch.setattr(onnxruntime, "get_ep_devices", list)
    text = f"def get_library_path():\n    {library}\n"
    (tmp_path / "onnxruntime_qnn.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", ModuleType("put back at the end"))
    monkeypatch.delitem(sys.modules, "onnxruntime_qnn")
    with pytest.raises(EngineError, match=f"The provider 'QNNExecutionProvider' {message}"):
        opened("onnxruntime", device="qnn")


def test_no_engine_is_imported_before_its_use() -> None:
    code = (
        "import sys, edgetl_runtime.engines, edgetl_runtime.session, edgetl_runtime.proof\n"
        "sys.exit(bool({'onnxruntime', 'openvino', 'PIL.Image'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
