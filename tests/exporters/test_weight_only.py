"""Gates that a quantizer leaves in float are stored in int8 all the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from exporter_factories import Gated, colours, tiny_model

from edgetl_exporters.candidate import converted
from edgetl_exporters.graph import array
from edgetl_exporters.measure import run_file
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_int8 import Plan, quantize
from edgetl_exporters.weight_only import with_int8_weights


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float ONNX file of a gated network."""
    out = tmp_path_factory.mktemp("gated") / "model.onnx"
    write_graph(tiny_model(module=Gated().eval()), out)
    return out


def float_weights(model: onnx.ModelProto) -> list[str]:
    """Name the convolutions that read float weights."""
    stored = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    return [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in stored]


def test_no_convolution_of_an_nncf_file_stores_float_weights(source: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "int8.onnx", colours(20, 1).pixels
    quantize(source, out, plan=Plan("nncf"), images=images)
    assert len(float_weights(onnx.load(source))) == 3
    assert float_weights(onnx.load(out)) == []
    logits = [run_file(file, "onnxruntime", images).logits for file in (source, out)]
    assert np.abs(logits[1] - logits[0]).max() < 0.05 * np.ptp(logits[0])


def test_both_engines_run_what_stores_int8_as_float(source: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "small.onnx", colours(20, 1).pixels
    onnx.save(with_int8_weights(onnx.load(source), ()), out)
    wanted = run_file(source, "onnxruntime", images).logits
    by_onnxruntime = run_file(out, "onnxruntime", images).logits
    by_openvino = run_file(converted(out), "openvino", images).logits
    assert by_openvino == pytest.approx(by_onnxruntime, abs=1e-4)
    assert 0 < np.abs(by_onnxruntime - wanted).max() < 0.02 * np.ptp(wanted)


def test_a_weight_of_a_gate_is_at_most_half_a_step_away_and_all_else_stays(source: Path) -> None:
    before = onnx.load(source)
    first, squeeze, excite = [node for node in before.graph.node if node.op_type == "Conv"]
    after = with_int8_weights(before, [squeeze.name])
    assert float_weights(after) == [first.name, squeeze.name]
    weights, name = array(before.graph, excite.input[1]), excite.input[1]
    scales = array(after.graph, f"{name}_scales")[:, None, None, None]
    assert np.abs(weights - scales * array(after.graph, f"{name}_int8")).max() <= scales.max() / 2


def test_small_gates_stay_in_float(source: Path) -> None:
    model = onnx.load(source)
    for node in model.graph.node:
        if node.op_type == "Conv":
            weights = next(t for t in model.graph.initializer if t.name == node.input[1])
            weights.CopyFrom(onnx.numpy_helper.from_array(np.ones((3, 3, 3, 3), np.float32), weights.name))
    assert with_int8_weights(model, ()) == model
