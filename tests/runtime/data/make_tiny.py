"""Makes the models of the runtime's tests: `python tests/runtime/data/make_tiny.py`, on a workstation.

`tiny.onnx`, `tiny.qnn.onnx`, `tiny.xml` and `tiny.bin` are checked in, since the tests of the runtime also
run on devices, which have no exporter. The graph keeps the contract of a bundle: `images` uint8
(N, 32, 32, 3) gives `logits` and `probabilities`, float32 (N, 3). Each class is a colour: its logit grows
with that colour's lead over the others, weighted by place, so that a flip or a shift shows.
`tiny_bundle.tiny_logits` says it in NumPy.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetl_exporters.to_int8 import Plan
from edgetl_exporters.to_qnn import quantizer

SIZE = 32
TEMPERATURE = 2.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tiny_model() -> onnx.ModelProto:
    """Build uint8 NHWC → normalized → a 3×3 convolution, ReLU, weighted mean, Gemm → logits, softmax."""
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalized"]),
        helper.make_node("Transpose", ["normalized"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("Mul", ["active", "places"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["features"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["features", "weight", "bias"], ["logits"], transB=1),
        helper.make_node("Div", ["logits", "temperature"], ["cooled"]),
        helper.make_node("Softmax", ["cooled"], ["probabilities"], axis=1),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3])
        for name in ("logits", "probabilities")
    ]
    graph = helper.make_graph(nodes, "tiny", [images], outputs, _weights())
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="edgetl-tests"
    )
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def _weights() -> list[onnx.TensorProto]:
    red, green, blue = np.eye(3, dtype=np.float32)
    leads = [red - green, red - blue, green - red, green - blue, blue - red, blue - green]
    kernel = np.zeros((6, 3, 3, 3), np.float32)
    kernel[:, :, 1, 1] = leads
    kernel[:, :, 0, 1] += 0.05  # Rows differ, so that a picture upside down is another picture.
    kernel[:, :, 1, 0] -= 0.05
    places = np.linspace(0.8, 1.2, SIZE, dtype=np.float32)
    arrays = {
        "mean": np.array(MEAN, np.float32) * 255,
        "std": np.array(STD, np.float32) * 255,
        "kernel": kernel,
        "places": (places[:, None] * places[None, :])[None, None],
        "weight": 2 * np.repeat(np.eye(3, dtype=np.float32), 2, axis=1) - 0.5,
        "bias": np.array([0.1, 0.0, -0.1], np.float32),
        "temperature": np.array(TEMPERATURE, np.float32),
    }
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def _write_qnn(out: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)
    flat = noise[:, ::SIZE, ::SIZE].repeat(SIZE, axis=1).repeat(SIZE, axis=2)
    model = tiny_model()
    for place, node in enumerate(model.graph.node):
        node.name = f"node_{place}"
    with tempfile.TemporaryDirectory() as folder:
        named, ranges = Path(folder) / "named.onnx", Path(folder) / "ranges.json"
        onnx.save(model, named)
        images = np.concatenate([noise, flat])
        quantizer(8)(named, out, plan=Plan("onnxruntime"), images=images, ranges=ranges)


def main() -> None:
    """Write the ONNX file, and what is made from it: the one for QNN and the OpenVINO pair."""
    import openvino

    here = Path(__file__).parent
    onnx.save(tiny_model(), here / "tiny.onnx")
    _write_qnn(here / "tiny.qnn.onnx")
    openvino.save_model(openvino.convert_model(here / "tiny.onnx"), here / "tiny.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
