"""QDQ ONNX → a network in whole numbers: what lies between the pixels and the classifier, channels last.

The numbers are those of the file: uint8 activations become int8 by 128 less, weights and biases are taken as
they are. So what was measured of the file holds for the network, to rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from edgetl_exporters.graph import find_classifier, outside_nodes, with_static_batch
from edgetl_exporters.integer_graph import IntegerGraph, IntegerOperator, IntegerTensor, OperatorKind
from edgetl_exporters.qdq import Qdq
from edgetl_runtime.errors import ContractError

# A border that TFLite computes by itself, and none.
SAME, VALID = 0, 1

_SHIFT = 128  # from uint8 to int8
# Even, so that a mean of a half is a whole number of steps.
_LARGEST_WEIGHT = 126
_LARGEST_BIAS = 2**30
_NEARLY = 1e-3
_PIXELS = "pixels"
_MOST_NAMED = 5


def lowered(model: ModelProto, mean: Sequence[float], std: Sequence[float]) -> IntegerGraph:
    """Return the integer core of a quantized file: pixels less 128 in, features out, for one picture.

    Args:
        mean, std: per channel of RGB in 0–1; the first layer of the core normalises by them.

    Raises:
        ContractError: there are operators that have no integer form here; all are named.
    """
    core = _Core(Qdq(onnx.shape_inference.infer_shapes(with_static_batch(model, 1)).graph))
    nodes, end = _inside(core.qdq, model)
    _refuse_strangers(core.qdq, nodes)
    _normalise(core, _beginning(core.qdq, nodes), mean, std)
    for node in nodes:
        _LOWERING[node.op_type](core, node)
    return IntegerGraph(core.tensors, tuple(core.operators), _PIXELS, end)


class _Core:
    """What was built so far of the quantized file."""

    def __init__(self, qdq: Qdq) -> None:
        self.qdq = qdq
        self.tensors: dict[str, IntegerTensor] = {}
        self.operators: list[IntegerOperator] = []

    def add(self, kind: OperatorKind, node: NodeProto, inputs: Sequence[str], **settings: int) -> None:
        """Append the operator that a node becomes."""
        output = self.activation(node.output[0])
        self.operators.append(IntegerOperator(kind, node.name, tuple(inputs), output, settings))

    def activation(self, name: str) -> str:
        """Take up an activation as int8, channels last, and return its name."""
        scale, zero = self.qdq.activation(name)
        if zero.dtype != np.uint8 or zero.shape:
            raise ContractError(f"{name!r} must be quantized to uint8 as a whole, got {zero.dtype}.")
        shape = _channels_last(self.qdq.shapes[name])
        self.tensors[name] = IntegerTensor(name, shape, (float(scale),), int(zero) - _SHIFT)
        return name

    def constant(self, name: str, values: NDArray[Any], **told: Any) -> str:
        """Take up a constant and return its name."""
        self.tensors[name] = IntegerTensor(name, values.shape, values=np.ascontiguousarray(values), **told)
        return name


def _inside(qdq: Qdq, model: ModelProto) -> tuple[list[NodeProto], str]:
    """Return the nodes between normalisation and classifier, and the tensor that they end in."""
    found = find_classifier(model)
    outside = {*outside_nodes(model), *found.nodes}
    return [node for node in qdq.nodes if node.name not in outside], qdq.before(found.features)


def _refuse_strangers(qdq: Qdq, nodes: Sequence[NodeProto]) -> None:
    strangers = [node for node in nodes if node.op_type not in _LOWERING or not qdq.is_integer(node)]
    if strangers:
        told = [f"{node.op_type} {node.name!r}" for node in strangers[:_MOST_NAMED]]
        more = f" and {len(strangers) - len(told)} more" if len(strangers) > len(told) else ""
        raise ContractError(
            f"{len(strangers)} of {len(nodes)} operators have no integer form for an Ethos-U here: "
            f"{', '.join(told)}{more}. Known are {', '.join(_LOWERING)}. Choose a backbone of those, such as "
            "efficientnet_lite0, or leave the variant out."
        )


def _beginning(qdq: Qdq, nodes: Sequence[NodeProto]) -> str:
    """Return the tensor of normalised pixels: what the nodes read and none of them gives."""
    read = {qdq.before(name) for node in nodes for name in node.input if name and not qdq.is_constant(name)}
    found = sorted(read - {node.output[0] for node in nodes})
    if len(found) != 1:
        raise ContractError(
            f"The network must read one tensor of pixels, got {found}. Export the model again."
        )
    return found[0]


def _normalise(core: _Core, pixels: str, mean: Sequence[float], std: Sequence[float]) -> None:
    """Begin with a layer that normalises: folded into the next one, the mean would change the border."""
    shape = core.tensors[core.activation(pixels)].shape
    core.tensors[_PIXELS] = IntegerTensor(_PIXELS, shape, (1.0,), -_SHIFT)
    factors = 1 / (255 * np.asarray(std, np.float64))
    _affine(core, "normalise", (_PIXELS, pixels), factors, -np.asarray(mean, np.float64) / np.asarray(std))


def _hard_sigmoid(core: _Core, node: NodeProto) -> None:
    """Become a line: what it clips is beyond the numbers that its output has."""
    told, (source, output) = _attributes(node), (core.qdq.before(node.input[0]), node.output[0])
    made = core.tensors[core.activation(output)]
    if made.zero_point != -_SHIFT or abs(255 * made.scales[0] - 1) > _NEARLY:
        raise ContractError(f"{node.name!r} must be quantized from 0 to 1. Export the model again.")
    ones = np.ones(made.shape[3])
    _affine(core, node.name, (source, output), told.get("alpha", 0.2) * ones, told.get("beta", 0.5) * ones)


def _affine(
    core: _Core, name: str, ends: tuple[str, str], factors: NDArray[np.float64], offsets: NDArray[np.float64]
) -> None:
    """Append a depthwise convolution of 1×1: each channel times its factor, and its offset added."""
    (source, output), (step,) = ends, core.tensors[ends[0]].scales
    # Where the source is next to nothing the offset is all: its steps must be coarse enough for an int32.
    steps = np.maximum(factors / _LARGEST_WEIGHT, np.abs(offsets) / (_LARGEST_BIAS * step))
    products = steps * step
    weight, bias = np.rint(factors / steps).astype(np.int8).reshape(1, 1, 1, -1), np.rint(offsets / products)
    inputs = (
        source,
        core.constant(f"{name}_weight", weight, scales=tuple(steps.tolist()), axis=3),
        core.constant(f"{name}_bias", bias.astype(np.int32), scales=tuple(products.tolist())),
    )
    settings = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w", "multiplier"), 1)
    operator = IntegerOperator("DEPTHWISE_CONV_2D", name, inputs, output, settings | {"padding": VALID})
    core.operators.append(operator)


def _convolution(core: _Core, node: NodeProto) -> None:
    told = _attributes(node)
    values, scales = core.qdq.weight(node.input[1])
    depthwise = values.shape[1] == 1 and told.get("group", 1) > 1
    strides, dilations = told.get("strides", [1, 1]), told.get("dilations", [1, 1])
    source, padding = _bordered(core, node, values.shape[2:], strides, dilations)
    settings = {
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h": dilations[0],
        "dilation_w": dilations[1],
        "padding": padding,
    }
    order, axis = ((1, 2, 3, 0), 3) if depthwise else ((0, 2, 3, 1), 0)
    weight = core.constant(node.input[1], values.transpose(order), scales=scales, axis=axis)
    inputs = (source, weight, _bias(core, node, len(values)))
    if depthwise:
        core.add("DEPTHWISE_CONV_2D", node, inputs, **settings, multiplier=len(values) // told["group"])
    else:
        core.add("CONV_2D", node, inputs, **settings)


def _linear(core: _Core, node: NodeProto) -> None:
    """Become a convolution of 1×1 over the one pixel that a row of features is."""
    told = _attributes(node)
    if (told.get("alpha", 1.0), told.get("beta", 1.0), told.get("transA", 0)) != (1, 1, 0):
        raise ContractError(f"{node.name!r} must be a plain linear layer. Export the model again.")
    values, scales = core.qdq.weight(node.input[1])
    rows = values if told.get("transB") else values.T
    told_of = {"scales": scales, "axis": 0}
    weight = core.constant(node.input[1], rows.reshape(len(rows), 1, 1, -1), **told_of)
    inputs = (core.qdq.before(node.input[0]), weight, _bias(core, node, len(rows)))
    settings = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    core.add("CONV_2D", node, inputs, **settings, padding=VALID)


def _bias(core: _Core, node: NodeProto, channels: int) -> str:
    """Take up a bias in the steps that products have: those of the input times those of each filter."""
    (step,), weight = core.tensors[core.qdq.before(node.input[0])].scales, core.tensors[node.input[1]]
    scales = tuple(step * scale for scale in weight.scales)
    if len(node.input) < 3:
        return core.constant(f"{node.name}_bias", np.zeros(channels, np.int32), scales=scales)
    values, stored = core.qdq.weight(node.input[2])
    if values.dtype != np.int32 or not np.allclose(stored, scales, rtol=1e-5):
        raise ContractError(f"The bias of {node.name!r} must be int32 in the steps of its products.")
    return core.constant(node.input[2], values, scales=scales)


def _bordered(
    core: _Core, node: NodeProto, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[str, int]:
    """Return what a window slides over, with an operator for a border that TFLite has no name for."""
    source = core.qdq.before(node.input[0])
    told = _attributes(node)
    pads = told.get("pads", [0, 0, 0, 0])
    auto = told.get("auto_pad", b"NOTSET")
    if auto not in (b"NOTSET", b"VALID"):
        raise ContractError(f"{node.name!r} must name its border, got {auto!r}. Export the model again.")
    if told.get("ceil_mode", 0):
        raise ContractError(f"{node.name!r} must round sizes down, got ceil_mode. Leave Ethos-U out.")
    if not any(pads):
        return source, VALID
    sides = core.tensors[source].shape[1:3]
    if list(pads) == _same(sides, kernel, strides, dilations):
        return source, SAME
    return _padded(core, node, source, pads), VALID


def _padded(core: _Core, node: NodeProto, source: str, pads: Sequence[int]) -> str:
    """Append an operator that puts a border of zeros around."""
    before, name = core.tensors[source], f"{node.name}_padded"
    _, height, width, channels = before.shape
    shape = (1, height + pads[0] + pads[2], width + pads[1] + pads[3], channels)
    core.tensors[name] = IntegerTensor(name, shape, before.scales, before.zero_point)
    widths = np.array([[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]], np.int32)
    inputs = (source, core.constant(f"{name}_widths", widths))
    core.operators.append(IntegerOperator("PAD", name, inputs, name))
    return name


def _same(
    sides: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Return the border that TFLite calls the same, as ONNX writes it: all beginnings, then all ends."""
    given = zip(sides, kernel, strides, dilations, strict=True)
    wanted = [
        max((-(-side // by) - 1) * by + (span - 1) * far + 1 - side, 0) for side, span, by, far in given
    ]
    return [total // 2 for total in wanted] + [total - total // 2 for total in wanted]


def _max_pooling(core: _Core, node: NodeProto) -> None:
    told = _attributes(node)
    kernel, strides = told["kernel_shape"], told.get("strides", [1, 1])
    source, padding = _bordered(core, node, kernel, strides, told.get("dilations", [1, 1]))
    core.add(
        "MAX_POOL_2D",
        node,
        (source,),
        stride_h=strides[0],
        stride_w=strides[1],
        filter_h=kernel[0],
        filter_w=kernel[1],
        padding=padding,
    )


def _mean(core: _Core, node: NodeProto) -> None:
    axes = core.constant(f"{node.name}_axes", np.array([1, 2], np.int32))
    core.add("MEAN", node, (core.qdq.before(node.input[0]), axes), keep_dims=1)


def _joined(core: _Core, node: NodeProto) -> None:
    """Become a join of means, which round to the steps of the join right away: a join cannot round."""
    sources = [core.qdq.before(name) for name in node.input]
    made = {one.output for one in core.operators if one.kind == "MEAN"}
    if _attributes(node)["axis"] != 1 or not made.issuperset(sources):
        raise ContractError(f"{node.name!r} must join channels of poolings. Leave Ethos-U out.")
    steps = core.tensors[core.activation(node.output[0])]
    for name in sources:
        core.tensors[name] = replace(core.tensors[name], scales=steps.scales, zero_point=steps.zero_point)
    core.add("CONCATENATION", node, sources, axis=3)


def _of_activations(kind: OperatorKind) -> Callable[[_Core, NodeProto], None]:
    """Return what lowers an operator whose inputs are all activations."""

    def lower(core: _Core, node: NodeProto) -> None:
        core.add(kind, node, [core.qdq.before(name) for name in node.input])

    return lower


def _clip(core: _Core, node: NodeProto) -> None:
    low, high = (float(core.qdq.array(name)) for name in node.input[1:3])
    if (low, high) != (0, 6):
        raise ContractError(f"{node.name!r} must clip to 0 and 6, got {low:g} and {high:g}.")
    core.add("RELU6", node, (core.qdq.before(node.input[0]),))


_LOWERING: Mapping[str, Callable[[_Core, NodeProto], None]] = {
    "Conv": _convolution,
    "Gemm": _linear,
    "Add": _of_activations("ADD"),
    "Mul": _of_activations("MUL"),
    "Relu": _of_activations("RELU"),
    "Clip": _clip,
    "Sigmoid": _of_activations("LOGISTIC"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _of_activations("HARD_SWISH"),
    "MaxPool": _max_pooling,
    "GlobalAveragePool": _mean,
    "Concat": _joined,
}


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape (1, height, width, channels) of what is (1, channels, height, width), or flat."""
    if len(shape) == 2:
        return (1, 1, 1, shape[1])
    batch, channels, height, width = shape
    return batch, height, width, channels
