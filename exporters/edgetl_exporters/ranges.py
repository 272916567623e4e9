"""The ranges of all activations of a float graph, found by OpenVINO for ONNX Runtime's quantizer.

That one's own calibration runs the graph without any optimization: 13 s of a core for 300 pictures of
EfficientNet-Lite0 at 224 pixels, here 7. Knows graphs and the engine, not what quantizes.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgetl_exporters.graph import IMAGES, LOGITS, PROBABILITIES, answering, copied, normalised_pixels
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import Pixels
from edgetl_exporters.to_openvino import to_openvino

# Of the range of normalised pixels: just enough that no pixel lies between two steps, where a mean of a half
# would put every one of them, to be rounded up by one engine and down by another.
PIXEL_ROOM = 1 + 1 / 510
_STEPS = 255
_NEAR = 1e-3
_BATCH = 10
# Of names that are no one else's.
_OWN = "edgetl_"
_ROW = f"{_OWN}row"


def extremes(source: Path, images: Pixels, folder: Path) -> dict[str, tuple[np.float32, np.float32]]:
    """Return the least and the greatest value of every float tensor that the graph computes.

    Those of the normalised pixels are as `with_room` has them.

    Args:
        source: a float ONNX file. images: (n, size, size, 3) uint8 RGB. folder: for files on the way.
    """
    model = onnx.load(source)
    network, pixels = _renamed(model), normalised_pixels(model)
    names = _activations(network)
    probe, xml = (folder / f"{source.stem}.extremes{suffix}" for suffix in (".onnx", ".xml"))
    onnx.save(_extremes_graph(network, names), probe)
    to_openvino(probe, xml, half=False)
    # The extremes are those of a batch, so none may be filled up with pictures of nothing.
    batch = next(size for size in range(_BATCH, 0, -1) if len(images) % size == 0)
    rows = run_file(xml, "openvino", images, batch=batch).logits
    least, greatest = np.split(rows, 2, axis=1)
    found = zip(names, zip(least.min(axis=0), greatest.max(axis=0), strict=True), strict=True)
    return {name.removeprefix(_OWN): with_room(*ends) if name in pixels else ends for name, ends in found}


def with_room(low: np.float32, high: np.float32) -> tuple[np.float32, np.float32]:
    """Widen the range of normalised pixels where zero, and so every pixel, is half-way between two steps."""
    zero = -_STEPS * float(low) / float(high - low)
    room = np.float32(PIXEL_ROOM if abs(zero % 1 - 0.5) < _NEAR else 1)
    return room * low, room * high


def _renamed(model: ModelProto) -> ModelProto:
    """Return a copy without outputs, in which the tensors that they were have other names."""
    changed = copied(model)
    for node in changed.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in (LOGITS, PROBABILITIES):
                    names[place] = _OWN + name
    del changed.graph.output[:], changed.graph.value_info[:]
    return changed


def _activations(network: ModelProto) -> list[str]:
    """Name what the nodes compute in float, the normalised pixels among it."""
    shown = onnx.shape_inference.infer_shapes(network).graph.value_info
    floats = {value.name for value in shown if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return [name for node in network.graph.node for name in node.output if name in floats]


def _extremes_graph(network: ModelProto, names: list[str]) -> ModelProto:
    """Return a graph whose `logits` are the least, then the greatest values of a batch, (N, 2 × tensors).

    All its rows are equal: some tensors have other first axes than the batch, so all axes are reduced.
    """
    changed, joined = copied(network), f"{_OWN}joined"
    nodes, sources = changed.graph.node, list[str]()
    changed.graph.initializer.append(numpy_helper.from_array(np.array([1, 1], np.int64), _ROW))
    for kind in ("ReduceMin", "ReduceMax"):
        for name in names:
            reduced, row = f"{name}_{kind}", f"{name}_{kind}_row"
            nodes.append(helper.make_node(kind, [name], [reduced], name=reduced))
            nodes.append(helper.make_node("Reshape", [reduced, _ROW], [row], name=row))
            sources.append(row)
    nodes.append(helper.make_node("Concat", sources, [joined], name=joined, axis=1))
    return answering(changed, [_for_each_picture(changed, joined)], len(sources))


def _for_each_picture(model: ModelProto, row: str) -> str:
    """Repeat a row, (1, values), for every picture of the batch."""
    pixels, flat, none, out = (f"{_OWN}{name}" for name in ("pixels", "flat", "none", "rows"))
    axes = numpy_helper.from_array(np.array([1], np.int64), f"{_OWN}axes")
    model.graph.initializer.append(axes)
    for node in (
        helper.make_node("Cast", [IMAGES], [pixels], name=pixels, to=TensorProto.FLOAT),
        helper.make_node("Flatten", [pixels], [flat], name=flat, axis=1),
        helper.make_node("ReduceMin", [flat, axes.name], [f"{flat}_least"], name=f"{flat}_least"),
        helper.make_node("Sub", [f"{flat}_least", f"{flat}_least"], [none], name=none),
        helper.make_node("Add", [none, row], [out], name=out),
    ):
        model.graph.node.append(node)
    return out
