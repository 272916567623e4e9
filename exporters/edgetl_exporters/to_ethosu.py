"""ONNX → int8 QDQ ONNX as an accelerator for integers takes it, by ONNX Runtime's quantizer.

All between the pixels and the classifier is in whole numbers, poolings and gates too: weights int8 per
filter, activations uint8 per tensor. Normalisation, classifier, temperature and softmax stay in float. Some
ranges are set and not measured: that of the normalised pixels, and those of gates, as TFLite has them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from edgetl_exporters.candidate import Quantize
from edgetl_exporters.graph import find_classifier, normalised_pixels, outside_nodes
from edgetl_exporters.model import Pixels
from edgetl_exporters.ranges import PIXEL_ROOM
from edgetl_exporters.to_int8 import Plan, Reader, quantizing

# Steps from 0 on. A clipped line is clipped by what its output cannot hold: 255 steps to 1.
_GATES = {"Sigmoid": 1 / 256, "HardSigmoid": 1 / 255}


def quantizer(mean: Sequence[float], std: Sequence[float]) -> Quantize:
    """Return what quantizes a float ONNX file whose pixels are normalised so, per channel of RGB in 0–1."""

    def quantize(onnx_path: Path, out: Path, *, plan: Plan, images: Pixels, ranges: Path) -> None:
        with quantizing("onnxruntime"):
            _quantize(onnx_path, out, _ranges(onnx.load(onnx_path), mean, std), images, ranges)

    return quantize


def _quantize(source: Path, out: Path, told: dict[str, Any], images: Pixels, ranges: Path) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = onnx.load(source)
    quantize_static(
        source,
        out,
        Reader(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=sorted({node.op_type for node in model.graph.node}),
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        nodes_to_exclude=[*outside_nodes(model), *find_classifier(model).nodes],
        extra_options={"TensorQuantOverrides": told},
        calibration_cache_path=ranges.with_suffix(".ethosu.json"),
    )


def _ranges(model: ModelProto, mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """Return how the normalised pixels and the gates are quantized, by tensor."""
    outside = set(outside_nodes(model))
    low = min(-one / by for one, by in zip(mean, std, strict=True))
    high = max((1 - one) / by for one, by in zip(mean, std, strict=True))
    pixels = {"rmin": np.float32(PIXEL_ROOM * low), "rmax": np.float32(PIXEL_ROOM * high)}
    gates = {
        node.output[0]: [
            {"scale": np.array(_GATES[node.op_type], np.float32), "zero_point": np.array(0, np.uint8)}
        ]
        for node in model.graph.node
        if node.op_type in _GATES and node.name not in outside
    }
    return {name: [pixels] for name in normalised_pixels(model)} | gates
