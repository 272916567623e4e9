"""Any ONNX classifier → our graph: pixels in, logits and probabilities out. Imports onnxruntime to compare.

The graph that comes takes normalised pictures and gives scores of classes. It is put between our own prologue
(layout, mean, standard deviation) and epilogue (temperature, softmax), so that a device needs no second
description of it.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, compose, helper, numpy_helper, version_converter

from edgetl_exporters.graph import IMAGES, LOGITS, PROBABILITIES, find_classifier, slimmed
from edgetl_exporters.heads import plain_head
from edgetl_exporters.model import Floats, Model, Pixels
from edgetl_exporters.quiet import quiet
from edgetl_runtime.errors import ContractError, InputError

# The first opset with per-channel QDQ, and the one that older files are brought to.
_LEAST_OPSET, _OPSET = 13, 17
_PREFIX = "net_"
# Layers behind the logits that are ours to add; the answer is the same before them.
_ENDS = ("Softmax", "LogSoftmax", "Sigmoid", "Identity")


def from_onnx(model: Model, path: Path) -> None:
    """Write the file of `model` as our graph with a dynamic batch; equal files give equal bytes.

    Raises:
        InputError: it is no classifier of such pictures and classes; says in which way.
    """
    network = _network(model)
    port = network.graph.input[0]
    shape = (1, 3, 1, 1) if model.layout == "nchw" else (1, 1, 1, 3)
    constants = {
        "edgetl_mean": (255 * np.array(model.mean, np.float32)).reshape(shape),
        "edgetl_scale": (1 / (255 * np.array(model.std, np.float32))).reshape(shape),
        "edgetl_temperature": np.array(model.temperature or 1.0, np.float32),
    }
    graph = network.graph
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    turned = "edgetl_float" if model.layout == "nhwc" else "edgetl_turned"
    before = [helper.make_node("Cast", [IMAGES], ["edgetl_float"], name="edgetl_cast", to=TensorProto.FLOAT)]
    if model.layout == "nchw":
        before.append(_node("Transpose", "edgetl_float", turned, perm=[0, 3, 1, 2]))
    before += [_node("Sub", turned, "edgetl_centred", "edgetl_mean")]
    before += [_node("Mul", "edgetl_centred", port.name, "edgetl_scale")]
    ends = "Sigmoid" if model.task == "multi_label" else "Softmax"
    after = [
        _node("Div", LOGITS, "edgetl_scaled", "edgetl_temperature"),
        helper.make_node(ends, ["edgetl_scaled"], [PROBABILITIES], name="edgetl_end")
        if ends == "Sigmoid"
        else helper.make_node(ends, ["edgetl_scaled"], [PROBABILITIES], name="edgetl_end", axis=1),
    ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    size, classes = model.preprocess.size, len(model.classes)
    graph.input.append(helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["N", size, size, 3]))
    for name in (LOGITS, PROBABILITIES):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", classes]))
    with quiet():
        written = plain_head(slimmed(network))
    onnx.save(written, path)
    try:
        find_classifier(written)
    except ContractError as error:
        raise _refused(model, str(error).splitlines()[0]) from error


def onnx_logits(model: Model, pixels: Pixels) -> Floats:
    """Return what the file itself answers, (n, classes), fed as its makers would."""
    network = _network(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        network.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = network.graph.input[0].name
    mean, std = np.array(model.mean, np.float32), np.array(model.std, np.float32)
    rows = []
    for image in pixels:
        x: NDArray[np.float32] = ((image[None].astype(np.float32) / 255) - mean) / std
        if model.layout == "nchw":
            x = x.transpose(0, 3, 1, 2)
        rows.append(session.run([LOGITS], {name: np.ascontiguousarray(x)})[0])
    logits: Floats = np.concatenate(rows)
    return logits


def _network(model: Model) -> ModelProto:
    """Load the file: one input of pictures, one output, called `logits`, and names of its own."""
    loaded = _load(model)
    graph = loaded.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [port for port in graph.input if port.name not in constants]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise _refused(model, f"it takes {_described(inputs)}, not one float32 tensor of pictures")
    size = model.preprocess.size
    want = (None, 3, size, size) if model.layout == "nchw" else (None, size, size, 3)
    got = _shape(inputs[0])
    if len(got) != 4 or any(w and g and w != g for w, g in zip(want, got, strict=True)):
        raise _refused(
            model, f"it takes {_described(inputs)}, not {want} ({model.layout}); see --layout and --size"
        )
    output = _classes_of(model, loaded)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(helper.make_tensor_value_info(inputs[0].name, TensorProto.FLOAT, ["N", *want[1:]]))
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", len(model.classes)]))
    return _named(loaded, output)


def _load(model: Model) -> ModelProto:
    try:
        loaded = onnx.load(model.module)
        opset = next(o.version for o in loaded.opset_import if o.domain in ("", "ai.onnx"))
        if opset < _LEAST_OPSET:
            loaded = version_converter.convert_version(loaded, _OPSET)
        return onnx.shape_inference.infer_shapes(loaded)
    except Exception as error:  # protobuf, onnx and its converter have no common class of errors.
        raise _refused(model, f"onnx cannot read it ({str(error).splitlines()[0][:200]})") from error


def _classes_of(model: Model, loaded: ModelProto) -> str:
    """Name the tensor of logits: the one output with a column for each class, before its softmax."""
    outputs = list(loaded.graph.output)
    fit = [port for port in outputs if _shape(port)[1:] in ((len(model.classes),), (None,))]
    if len(fit) != 1:
        raise _refused(
            model,
            f"it gives {_described(outputs)}, not one tensor of {len(model.classes)} classes; see --classes",
        )
    name: str = fit[0].name
    producers = {out: node for node in loaded.graph.node for out in node.output}
    while name in producers and producers[name].op_type in _ENDS:
        name = producers[name].input[0]
    return name


def _named(network: ModelProto, output: str) -> ModelProto:
    """Give every tensor and node a name of its own, apart from ours; what is not used any more goes."""
    network = compose.add_prefix(network, _PREFIX)
    needed, kept = {_PREFIX + output}, []
    for node in reversed(network.graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    kept.reverse()
    for place, node in enumerate(kept):
        node.name = node.name or f"{_PREFIX}{node.op_type}_{place}"
        node.output[:] = [LOGITS if name == _PREFIX + output else name for name in node.output]
        node.input[:] = [LOGITS if name == _PREFIX + output else name for name in node.input]
    del network.graph.node[:]
    network.graph.node.extend(kept)
    network.graph.output[0].name = LOGITS
    return network


def _node(kind: str, source: str, out: str, *more: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, [source, *more], [out], name=f"edgetl_{kind.lower()}", **attributes)


def _shape(port: ValueInfoProto) -> tuple[int | None, ...]:
    return tuple(dim.dim_value or None for dim in port.type.tensor_type.shape.dim)


def _described(ports: list[ValueInfoProto]) -> str:
    described = [f"{port.name!r} {list(_shape(port))}" for port in ports]
    return ", ".join(described) or "nothing"


def _refused(model: Model, why: str) -> InputError:
    return InputError(f"{str(model.module)!r} cannot be exported: {why.rstrip('.')}.")
