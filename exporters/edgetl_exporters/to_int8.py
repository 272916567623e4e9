"""ONNX → int8 QDQ ONNX, by either standard quantizer. The only file here that imports nncf or a quantizer.

Weights are int8 per channel, activations uint8 per tensor: NNCF's default of per-channel zero points for
activations is refused by ONNX Runtime and by NPUs. What lies outside the network (layout, normalisation,
temperature, softmax) stays in float, and by default the classifier too: quantizing it cost a detector of
defects its whole accuracy, with either quantizer.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from edgetl_exporters.graph import IMAGES, find_classifier, outside_nodes, pooling_nodes
from edgetl_exporters.model import Pixels
from edgetl_exporters.quiet import quiet

Quantizer = Literal["onnxruntime", "nncf"]

_BATCH = 10
_NO_TELEMETRY = "NNCF_CI"


def quantize(
    onnx_path: Path, out: Path, *, quantizer: Quantizer, images: Pixels, float_classifier: bool = True
) -> None:
    """Quantize a float ONNX file.

    Args:
        images: calibration pictures, (n, size, size, 3) uint8 RGB, from the training pictures.
        float_classifier: False quantizes the last layer as well, for comparison.
    """
    model = onnx.load(onnx_path)
    excluded = outside_nodes(model)
    if float_classifier:
        excluded += find_classifier(model).nodes
    with quiet():
        _QUANTIZERS[quantizer](onnx_path, out, images, excluded)


def _by_onnxruntime(source: Path, out: Path, images: Pixels, excluded: list[str]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        source,
        out,
        _Reader(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        nodes_to_exclude=excluded + pooling_nodes(onnx.load(source)),
    )


def _by_nncf(source: Path, out: Path, images: Pixels, excluded: list[str]) -> None:
    with _without_telemetry():
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            QuantizationParameters,
        )

    quantized = nncf.quantize(
        onnx.load(source),
        nncf.Dataset([{IMAGES: image[np.newaxis]} for image in images]),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=excluded),
        advanced_parameters=AdvancedQuantizationParameters(
            activations_quantization_params=QuantizationParameters(per_channel=False)
        ),
    )
    onnx.save(quantized, out)


_QUANTIZERS = {"onnxruntime": _by_onnxruntime, "nncf": _by_nncf}


class _Reader:
    """Feeds ONNX Runtime's calibration, a batch at a time."""

    def __init__(self, images: Pixels) -> None:
        self._batches = iter(np.array_split(images, max(1, len(images) // _BATCH)))

    def get_next(self) -> Mapping[str, Pixels] | None:
        """Return the next batch."""
        batch = next(self._batches, None)
        return None if batch is None else {IMAGES: batch}


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """NNCF reports its use to its makers unless this variable is set when it is first imported."""
    before = os.environ.get(_NO_TELEMETRY)
    os.environ[_NO_TELEMETRY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_TELEMETRY]
        else:
            os.environ[_NO_TELEMETRY] = before
