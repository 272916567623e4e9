"""ONNX → int8 QDQ ONNX as Qualcomm's Hexagon (HTP) wants it, by ONNX Runtime's own rules for it.

All of the graph is in whole numbers, so that no float unit is needed: weights int8 per filter, activations
uint8 or uint16 per tensor, and from the logits on uint16, since 256 steps are too few for probabilities.

Three things differ from a file for the CPU, each found on the simulator. A cast from uint8 to float makes 0
and 1 of the pixels there: dequantizing by a step of one is the same and is computed right. Activations are
never symmetric: with the zero point in the middle of the range the answers are wrong. And the range of the
logits leaves room, since pictures that did not calibrate have larger ones, and would be cut off.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgetl_exporters.candidate import Quantize
from edgetl_exporters.graph import (
    IMAGES,
    LOGITS,
    PROBABILITIES,
    array,
    copied,
    read_temperature,
    readers,
    replaced,
)
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import Floats, Pixels
from edgetl_exporters.to_int8 import Plan, Reader, quantizing
from edgetl_runtime.errors import ContractError

Activations = Literal[8, 16]

_BATCH = 10
# Of the largest logit of the calibration pictures; with 65,536 steps there is room for it.
_HEADROOM = 4.0


def quantizer(activations: Activations) -> Quantize:
    """Return what quantizes a float ONNX file with activations of so many bits."""

    def quantize(onnx_path: Path, out: Path, *, plan: Plan, images: Pixels, ranges: Path) -> None:
        source = with_dequantized_pixels(onnx.load(onnx_path))
        logits = run_file(onnx_path, "onnxruntime", images, batch=min(_BATCH, len(images))).logits
        found, ends = ranges.with_suffix(".qnn.json"), _ends(source, logits)
        with quantizing("onnxruntime"):
            _quantize(source, out, activations, ends, calibration=(images, found))

    return quantize


def with_dequantized_pixels(model: ModelProto) -> ModelProto:
    """Return a copy that makes floats of its pixels by dequantizing them, ahead of all else.

    Raises:
        ContractError: the graph does not begin with a cast.
    """
    changed = copied(model)
    graph, moved, tensor = changed.graph, list[NodeProto](), IMAGES
    while (node := _only_consumer(changed, tensor)).op_type == "Transpose":
        moved.append(node)
        tensor = node.output[0]
    if node.op_type != "Cast":
        raise ContractError(f"The graph must cast its pixels, got {node.op_type!r}. Export it again.")
    pixels = f"{IMAGES}_float" if moved else node.output[0]
    if moved:
        moved[0].input[0], moved[-1].output[0] = pixels, node.output[0]
    graph.node.remove(node)
    inputs = [IMAGES, f"{IMAGES}_scale", f"{IMAGES}_zero"]
    graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [pixels], name=f"{IMAGES}_dequantize"))
    graph.initializer.append(numpy_helper.from_array(np.float32(1), inputs[1]))
    graph.initializer.append(numpy_helper.from_array(np.uint8(0), inputs[2]))
    return changed


def tempered(model: ModelProto, temperature: float) -> ModelProto:
    """Return a copy of a quantized file with another temperature: other steps, the same whole numbers."""
    divided = _only_consumer(model, LOGITS)
    own = _producer(model, divided.input[1]).input[1]
    cooled = _only_consumer(model, divided.output[0]).input[1]
    factor = temperature / temperature_of(model)
    return replaced(
        model, {own: array(model.graph, own) * factor, cooled: array(model.graph, cooled) / factor}
    )


def temperature_of(model: ModelProto) -> float:
    """Return what the logits of a quantized file are divided by."""
    dequantize = _producer(model, _only_consumer(model, LOGITS).input[1])
    number, step, zero = (array(model.graph, name).astype(np.float32) for name in dequantize.input)
    return float(((number - zero) * step).reshape(()))


def _quantize(
    source: ModelProto,
    out: Path,
    activations: Activations,
    ends: Mapping[str, list[dict[str, Any]]],
    *,
    calibration: tuple[Pixels, Path],
) -> None:
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

    images, ranges = calibration
    given = get_qnn_qdq_config(
        source,
        Reader(images),
        activation_type=QuantType.QUInt8 if activations == 8 else QuantType.QUInt16,
        weight_type=QuantType.QInt8,
        per_channel=True,
        init_overrides=ends,
    )
    quantize_static(
        source,
        out,
        given.calibration_data_reader,
        activation_type=given.activation_type,
        weight_type=given.weight_type,
        op_types_to_quantize=given.op_types_to_quantize,
        per_channel=given.per_channel,
        extra_options=given.extra_options,
        calibration_cache_path=ranges,
    )


def _ends(model: ModelProto, logits: Floats) -> dict[str, list[dict[str, Any]]]:
    """Return how the logits and what follows them are quantized, by tensor."""
    from onnxruntime.quantization import QuantType

    most = _HEADROOM * float(np.abs(logits).max())
    divided = _only_consumer(model, LOGITS)
    cooled = most / read_temperature(model)
    wide: dict[str, Any] = {"quant_type": QuantType.QUInt16}
    last = {} if _only_consumer(model, divided.output[0]).op_type == "Sigmoid" else _range(0, 1)
    return {
        LOGITS: [wide | _range(-most, most)],
        divided.output[0]: [wide | _range(-cooled, cooled)],
        PROBABILITIES: [wide | last],  # QNN has a range of its own for a sigmoid.
    }


def _range(low: float, high: float) -> dict[str, Any]:
    return {"rmin": np.float32(low), "rmax": np.float32(high)}


def _only_consumer(model: ModelProto, tensor: str) -> NodeProto:
    found = readers(model.graph, tensor)
    if len(found) != 1:
        names = [node.name for node in found]
        raise ContractError(f"One node must read the graph's {tensor!r}, got {names}. Export it again.")
    return found[0]


def _producer(model: ModelProto, tensor: str) -> NodeProto:
    return next(node for node in model.graph.node if tensor in node.output)
