"""float32 ONNX → float16 ONNX, by ONNX Runtime's own converter. The only file here that imports it.

Convolutions compute in float16 where a device can. What lies outside the network (layout, normalisation,
temperature, softmax) and the classifier stay in float32: they cost nothing, and answers and confidence are
made of their results.
"""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, compose, utils

from edgetl_exporters.graph import (
    IMAGES,
    copied,
    find_classifier,
    normalised_pixels,
    outside_nodes,
    used_only,
)
from edgetl_exporters.quiet import quiet


def to_half(onnx_path: Path, out: Path) -> None:
    """Write a copy of a float graph whose network, up to its features, is in float16."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(onnx_path)
    with quiet():
        half = convert_float_to_float16(_network(model), keep_io_types=True)
    onnx.save(_joined(model, half), out)


def _network(model: ModelProto) -> ModelProto:
    """Return what lies between normalised picture and features; its constants get names of their own."""
    inputs = [*normalised_pixels(model), *_asked_for_their_shape(model)]
    known = onnx.shape_inference.infer_shapes(model)
    network = utils.Extractor(known).extract_model(inputs, [find_classifier(model).features])
    return compose.add_prefix(
        network,
        "half_",
        rename_nodes=False,
        rename_edges=False,
        rename_inputs=False,
        rename_outputs=False,
        rename_value_infos=False,
    )


def _asked_for_their_shape(model: ModelProto) -> list[str]:
    """Name the pictures where the network asks how many they are."""
    asks = any(IMAGES in node.input for node in model.graph.node if node.op_type == "Shape")
    return [IMAGES] if asks else []


def _joined(model: ModelProto, network: ModelProto) -> ModelProto:
    """Return a copy of the model with another network between its own beginning and its own end."""
    joined, own = copied(model), {*outside_nodes(model), *find_classifier(model).nodes}
    kept = [node for node in model.graph.node if node.name in own]
    del joined.graph.node[:], joined.graph.value_info[:]
    joined.graph.node.extend(_in_order([*kept, *network.graph.node]))
    joined.graph.initializer.extend(network.graph.initializer)
    return used_only(joined)


def _in_order(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Sort nodes behind those whose outputs they read; the converter puts its casts anywhere."""
    waiting, ordered = list(nodes), list[NodeProto]()
    pending = {name for node in nodes for name in node.output}
    while waiting:
        ready = next(place for place, node in enumerate(waiting) if not pending & set(node.input))
        ordered.append(waiting.pop(ready))
        pending -= set(ordered[-1].output)
    return ordered
