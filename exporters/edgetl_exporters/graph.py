"""Reads and changes exported graphs: where the network begins and ends, its head, its temperature.

Knows the ONNX format and nothing about engines. Functions return changed copies.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgetl_exporters.model import Floats
from edgetl_runtime.errors import ContractError

IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
_ELEMENTWISE = ("Cast", "Transpose", "Sub", "Mul", "Div", "Add")

_POOLING = ("GlobalAveragePool", "Reshape", "Flatten", "Squeeze", "Identity")


@dataclass(frozen=True, slots=True)
class Classifier:
    """The last layer: logits = features @ weight + bias.

    nodes: their names, one Gemm or MatMul and Add. transposed: whether the weight is stored (classes, width).
    """

    nodes: tuple[str, ...]
    features: str
    weight: str
    bias: str
    transposed: bool


def slimmed(model: ModelProto) -> ModelProto:
    """Return a copy with constants folded and dead ends removed, and tidied."""
    import onnxslim  # It brings sympy: seconds that only an export should take.

    return tidied(onnxslim.slim(model))


def tidied(model: ModelProto) -> ModelProto:
    """Return a copy in the form that engines and quantizers know best, without what does not compute.

    The batch is named N; means over pixels become poolings, which quantizers know; documentation, metadata
    and the paths of source files are removed.
    """
    tidy = copied(model)
    tidy.doc_string, tidy.producer_name, tidy.producer_version = "", "edgetl", ""
    del tidy.metadata_props[:]
    graph = tidy.graph
    graph.name, graph.doc_string = "edgetl", ""
    del graph.value_info[:]  # Engines infer the shapes; these name the batch otherwise.
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for port in (*graph.input, *graph.output):
        port.type.tensor_type.shape.dim[0].dim_param = "N"
    for node in graph.node:
        keeps = not any(a.name == "keepdims" and not a.i for a in node.attribute)
        if keeps and is_mean_over_pixels(graph, node):
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]
    _drop_unused(graph)
    return tidy


def find_classifier(model: ModelProto) -> Classifier:
    """Find the layer that gives the logits.

    Raises:
        ContractError: the graph does not end in a linear layer with float weights.
    """
    found = classifier(model)
    if found is None:
        last = _producer(model.graph, LOGITS)
        raise ContractError(
            f"The graph must end in a linear layer with float weights and a bias, got {last.op_type!r}. "
            "Use a backbone with a linear head."
        )
    return found


def classifier(model: ModelProto) -> Classifier | None:
    """Return the layer that gives the logits, or None where they come from anything but one linear layer."""
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    last = _producer(graph, LOGITS)
    if last.op_type == "Gemm" and len(last.input) == 3:
        told = {a.name: helper.get_attribute_value(a) for a in last.attribute}
        transposed = told.pop("transB", 0) == 1
        scaled = told.get("alpha", 1.0) != 1.0 or told.get("beta", 1.0) != 1.0 or told.get("transA", 0)
        features, weight, bias = last.input
        if not scaled and _fit(shapes.get(weight), shapes.get(bias), transposed):
            return Classifier((last.name,), features, weight, bias, transposed)
    if last.op_type == "Add" and last.input[1] in shapes:
        product, bias = _producer(graph, last.input[0]), last.input[1]
        if product.op_type == "MatMul" and _fit(shapes.get(product.input[1]), shapes[bias], False):
            features, weight = product.input
            return Classifier((product.name, last.name), features, weight, bias, False)
    return None


def outside_nodes(model: ModelProto) -> list[str]:
    """Name the nodes before the network (layout, mean, standard deviation) and behind its logits."""
    names, tensor = [], IMAGES
    while len(nodes := readers(model.graph, tensor)) == 1 and nodes[0].op_type in _ELEMENTWISE:
        names.append(nodes[0].name)
        tensor = nodes[0].output[0]
    return names + [node.name for node in _downstream(model.graph, LOGITS)]


def readers(graph: GraphProto, tensor: str) -> list[NodeProto]:
    """Return what reads the values of a tensor; a class token asks how many pictures there are."""
    return [node for node in _consumers(graph, tensor) if node.op_type != "Shape"]


def normalised_pixels(model: ModelProto) -> set[str]:
    """Name the tensors in which the network gets its pixels, normalised; there is one."""
    outside = set(outside_nodes(model))
    given = {name for node in model.graph.node if node.name in outside for name in node.output}
    inside = [node for node in model.graph.node if node.name not in outside and node.op_type != "Shape"]
    return given & {name for node in inside for name in node.input}


def pooling_nodes(model: ModelProto) -> list[str]:
    """Name the nodes between layers with weights and the classifier: pooling, flattening, joining depths."""
    tensors, names = [find_classifier(model).features], list[str]()
    joint = _producer(model.graph, tensors[0])
    if joint.op_type == "Concat":
        tensors, names = list(joint.input), [joint.name]
    for tensor in tensors:
        while (node := _producer(model.graph, tensor)).op_type in _POOLING:
            names.append(node.name)
            tensor = node.input[0]
    return names


def read_head(model: ModelProto) -> tuple[Floats, Floats]:
    """Return weight, (classes, width), and bias, (classes,), of the classifier."""
    found = find_classifier(model)
    weight, bias = (array(model.graph, name) for name in (found.weight, found.bias))
    return np.ascontiguousarray(weight if found.transposed else weight.T), bias


def with_head(model: ModelProto, weight: Floats, bias: Floats) -> ModelProto:
    """Return a copy with another head: weight, (classes, width), and bias, (classes,)."""
    found = find_classifier(model)
    return replaced(model, {found.weight: weight if found.transposed else weight.T, found.bias: bias})


def read_temperature(model: ModelProto) -> float:
    """Return what the logits are divided by."""
    return float(array(model.graph, _temperature(model.graph)).reshape(()))


def with_temperature(model: ModelProto, temperature: float) -> ModelProto:
    """Return a copy with another temperature."""
    name = _temperature(model.graph)
    return replaced(model, {name: np.full(array(model.graph, name).shape, temperature, np.float32)})


def with_static_batch(model: ModelProto, batch: int) -> ModelProto:
    """Return a copy that takes exactly `batch` pictures at a time."""
    changed = copied(model)
    for port in (*changed.graph.input, *changed.graph.output):
        port.type.tensor_type.shape.dim[0].dim_value = batch
    del changed.graph.value_info[:]
    return changed


def features_only(model: ModelProto) -> ModelProto:
    """Return a copy that ends before its classifier: what it calls `logits` are the features, (N, width)."""
    width, source = read_head(model)[0].shape[1], find_classifier(model).features
    return answering(ended(model), [source], width)


def answering(model: ModelProto, sources: Sequence[str], width: int) -> ModelProto:
    """Give a graph without outputs new ones: tensors (N, …), joined to (N, width), as its logits.

    So it runs in the runtime's engines like any other graph; its probabilities are the same once more.
    """
    nodes = model.graph.node
    nodes.append(helper.make_node("Concat", sources, [LOGITS], name=LOGITS, axis=1))
    nodes.append(helper.make_node("Identity", [LOGITS], [PROBABILITIES], name=PROBABILITIES))
    for name in (LOGITS, PROBABILITIES):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]))
    return model


def ended(model: ModelProto) -> ModelProto:
    """Return a copy without outputs, its classifier and what follows it, for other outputs to be added."""
    dropped = {*find_classifier(model).nodes, *(node.name for node in _downstream(model.graph, LOGITS))}
    changed = copied(model)
    kept = [node for node in changed.graph.node if node.name not in dropped]
    del changed.graph.node[:], changed.graph.output[:], changed.graph.value_info[:]
    changed.graph.node.extend(kept)
    _drop_unused(changed.graph)
    return changed


def array(graph: GraphProto, name: str) -> Floats:
    """Return the values of an initializer."""
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    values: Floats = numpy_helper.to_array(tensor)
    return values


def replaced(model: ModelProto, values: Mapping[str, Floats]) -> ModelProto:
    """Return a copy with other values in initializers, of the same shapes."""
    changed = copied(model)
    for name, new in values.items():
        tensor = next(tensor for tensor in changed.graph.initializer if tensor.name == name)
        if new.shape != (want := tuple(tensor.dims)):
            raise ContractError(f"The graph's {name!r} must have the shape {want}, got {new.shape}.")
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(new, np.float32, order="C"), name))
    return changed


def used_only(model: ModelProto) -> ModelProto:
    """Return a copy without constants that nothing reads."""
    changed = copied(model)
    _drop_unused(changed.graph)
    return changed


def copied(model: ModelProto) -> ModelProto:
    """Return a copy."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def is_mean_over_pixels(graph: GraphProto, node: NodeProto) -> bool:
    """Tell whether a node is a mean over the pixels of a map, which may lose these dimensions."""
    if node.op_type != "ReduceMean":
        return False
    axes = next((t for t in graph.initializer if node.input[1:] == [t.name]), None)
    return axes is not None and sorted(numpy_helper.to_array(axes).tolist()) in ([2, 3], [-2, -1])


def _fit(weight: tuple[int, ...] | None, bias: tuple[int, ...] | None, transposed: bool) -> bool:
    """Tell whether two constants are the weight of a linear layer and a bias for each of its outputs."""
    return weight is not None and len(weight) == 2 and bias == (weight[0 if transposed else 1],)


def _drop_unused(graph: GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _temperature(graph: GraphProto) -> str:
    """Name the initializer that divides the logits."""
    weights = {tensor.name for tensor in graph.initializer}
    for node in _consumers(graph, LOGITS):
        if node.op_type == "Div" and node.input[1] in weights:
            return str(node.input[1])
    raise ContractError("The graph must divide its logits by a temperature. Export the run again.")


def _producer(graph: GraphProto, tensor: str) -> NodeProto:
    for node in graph.node:
        if tensor in node.output:
            return node
    raise ContractError(f"The graph has no tensor {tensor!r}. Export the run again.")


def _consumers(graph: GraphProto, tensor: str) -> list[NodeProto]:
    return [node for node in graph.node if tensor in node.input]


def _downstream(graph: GraphProto, tensor: str) -> Iterator[NodeProto]:
    for node in _consumers(graph, tensor):
        yield node
        for output in node.output:
            yield from _downstream(graph, output)
