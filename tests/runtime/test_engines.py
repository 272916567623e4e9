import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

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


def test_onnxruntime_executes_in_float32_only() -> None:
    with pytest.raises(EngineError, match="executes in 'f32' only, got 'bf16'"):
        opened("onnxruntime", execution="bf16")


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


def test_no_engine_is_imported_before_its_use() -> None:
    code = (
        "import sys, edgetl_runtime.engines, edgetl_runtime.session, edgetl_runtime.proof\n"
        "sys.exit(bool({'onnxruntime', 'openvino', 'PIL.Image'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
