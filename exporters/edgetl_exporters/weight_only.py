"""Weight-only int8 for gates that a quantizer left in float: stored small, they compute as before.

NNCF leaves squeeze and excitation in float, half of the weights of a MobileNetV3. Engines turn the weights
back to float when they compile, so a picture takes as long as before. Knows graphs, no engine.
"""

from collections.abc import Container, Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgetl_exporters.graph import array, copied, used_only
from edgetl_exporters.model import Floats

_STEPS = 127
# Below, the scales and the node that reads them take what the weights save.
_LEAST_WEIGHTS = 1_024


def with_int8_weights(model: ModelProto, left_out: Container[str]) -> ModelProto:
    """Return a copy in which float weights of gates are stored as int8, with a scale for each filter.

    Elsewhere OpenVINO may take such weights for half of a quantized layer, and fail to compile the network.

    Args:
        left_out: names of nodes that stay as they are.
    """
    changed = copied(model)
    stored = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    wanted = [
        node.input[1] for node in _on_pooled(model) if node.name not in left_out and node.input[1] in stored
    ]
    for name in dict.fromkeys(wanted):
        weights = array(model.graph, name)
        if weights.size >= _LEAST_WEIGHTS:
            _store(changed, name, weights)
    return used_only(changed)


def _on_pooled(model: ModelProto) -> Iterator[NodeProto]:
    """Yield the convolutions that read nothing but maps of one pixel."""
    constants = {tensor.name for tensor in model.graph.initializer}
    pooled: set[str] = set()
    for node in model.graph.node:  # In the order in which they compute.
        read = {name for name in node.input if name} - constants
        if node.op_type == "GlobalAveragePool" or (read and read <= pooled):
            pooled.update(node.output)
            if node.op_type == "Conv":
                yield node


def _store(model: ModelProto, name: str, weights: Floats) -> None:
    """Put a node that dequantizes first in the graph, and have convolutions read it."""
    whole, scales = _quantized(weights)
    constants = {"int8": whole, "scales": scales, "zeros": np.zeros(len(scales), np.int8)}
    inputs = [f"{name}_{kind}" for kind in constants]
    for own, values in zip(inputs, constants.values(), strict=True):
        model.graph.initializer.append(numpy_helper.from_array(values, own))
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] == name:
            node.input[1] = f"{name}_dequantized"
    node = helper.make_node(
        "DequantizeLinear", inputs, [f"{name}_dequantized"], name=f"{name}_dequantized", axis=0
    )
    model.graph.node.insert(0, node)


def _quantized(weights: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return filters in whole steps, and the step of each: a 127th of its largest weight."""
    scales = np.abs(weights).max(axis=tuple(range(1, weights.ndim))) / np.float32(_STEPS)
    scales[scales == 0] = 1
    steps = np.round(weights / scales.reshape(-1, *[1] * (weights.ndim - 1)))
    return steps.clip(-_STEPS, _STEPS).astype(np.int8), scales
