"""Brings the end of a graph to one form: features, one linear layer with a bias, logits.

Others write it as a product without a bias, a sum the other way round, or a convolution of 1×1 before or
behind the pooling, which changes nothing but the order of sums.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from edgetl_exporters.graph import LOGITS, array, classifier, copied, is_mean_over_pixels, used_only

_POOLING = ("Flatten", "Reshape", "Squeeze", "Identity", "GlobalAveragePool")
_HEAD = "edgetl_head"

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class _Linear:
    """logits = features @ weight.T + bias, weight (classes, width), bias None for none.

    nodes: what computes it now. mapped: features are a map (N, width, h, w), to be pooled and flattened.
    """

    features: str
    weight: Floats
    bias: Floats | None
    nodes: tuple[NodeProto, ...]
    mapped: bool = False


def plain_head(model: ModelProto) -> ModelProto:
    """Return a copy whose classifier `find_classifier` finds; without a linear layer nothing changes."""
    changed = copied(model)
    graph = changed.graph
    found = None if classifier(model) is not None else _linear(graph)
    if found is None:
        return changed
    classes, width = found.weight.shape
    bias = np.zeros(classes) if found.bias is None else np.broadcast_to(found.bias.reshape(-1), (classes,))
    constants = {"weight": found.weight.reshape(classes, width), "bias": bias}
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(values, np.float32), f"{_HEAD}_{name}")
        for name, values in constants.items()
    )
    features = found.features
    nodes = []
    if found.mapped:
        pooled, features = f"{_HEAD}_pooled", f"{_HEAD}_features"
        nodes = [
            helper.make_node("GlobalAveragePool", [found.features], [pooled], name=f"{_HEAD}_pool"),
            helper.make_node("Flatten", [pooled], [features], name=f"{_HEAD}_flatten"),
        ]
    inputs = [features, f"{_HEAD}_weight", f"{_HEAD}_bias"]
    nodes.append(helper.make_node("Gemm", inputs, [LOGITS], name=_HEAD, transB=1))
    _replace(graph, found.nodes, nodes)
    return used_only(changed)


def _replace(graph: GraphProto, old: tuple[NodeProto, ...], new: list[NodeProto]) -> None:
    """Put nodes in the place of others, which were neighbours in the flow of data."""
    names = {node.name for node in old}
    last = max(place for place, node in enumerate(graph.node) if node.name in names)
    nodes = [*graph.node[:last], *new, *graph.node[last + 1 :]]
    kept = [node for node in nodes if node.name not in names]
    del graph.node[:]
    graph.node.extend(kept)


def _linear(graph: GraphProto) -> _Linear | None:
    """Find the linear layer behind the logits in any form; None where there is none."""
    constants = {tensor.name for tensor in graph.initializer}
    last = _maker(graph, LOGITS)
    if last is None:
        return None
    if last.op_type == "Gemm" and last.input[1] in constants:
        return _gemm(graph, last, constants)
    if last.op_type == "MatMul" and last.input[1] in constants:
        return _Linear(last.input[0], array(graph, last.input[1]).T, None, (last,))
    if last.op_type == "Add" and len(constants & set(last.input)) == 1:
        return _sum(graph, last, constants)
    return _convolution(graph, constants)


def _gemm(graph: GraphProto, node: NodeProto, constants: set[str]) -> _Linear | None:
    told = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if told.get("transA") or (len(node.input) > 2 and node.input[2] not in constants):
        return None
    weight = array(graph, node.input[1]) * told.get("alpha", 1.0)
    bias = array(graph, node.input[2]) * told.get("beta", 1.0) if len(node.input) > 2 else None
    return _Linear(node.input[0], weight if told.get("transB") else weight.T, bias, (node,))


def _sum(graph: GraphProto, node: NodeProto, constants: set[str]) -> _Linear | None:
    bias, product = sorted(node.input, key=lambda name: name not in constants)
    before = _maker(graph, product)
    if before is None or before.op_type != "MatMul" or before.input[1] not in constants:
        return None
    weight = array(graph, before.input[1]).T
    return _Linear(before.input[0], weight, array(graph, bias), (before, node))


def _convolution(graph: GraphProto, constants: set[str]) -> _Linear | None:
    """Find a convolution of 1×1 behind which nothing but pooling and flattening comes."""
    nodes = list[NodeProto]()
    node = _maker(graph, LOGITS)
    while node is not None and (node.op_type in _POOLING or is_mean_over_pixels(graph, node)):
        nodes.append(node)
        node = _maker(graph, node.input[0])
    if node is None or node.op_type != "Conv" or not set(node.input[1:]) <= constants:
        return None
    weight = array(graph, node.input[1])
    told = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    moved = any(told.get("pads", ())) or set(told.get("strides", [1])) != {1} or told.get("group", 1) != 1
    if moved or weight.shape[2:] != (1, 1):
        return None
    bias = array(graph, node.input[2]) if len(node.input) > 2 else None
    return _Linear(node.input[0], weight[:, :, 0, 0], bias, (node, *nodes), mapped=True)


def _maker(graph: GraphProto, tensor: str) -> NodeProto | None:
    return next((node for node in graph.node if tensor in node.output), None)
