"""ONNX → int8 QDQ ONNX, by either standard quantizer. The only file here that imports nncf or a quantizer.

Weights are int8 per channel, activations uint8 per tensor: NNCF's default of per-channel zero points for
activations is refused by ONNX Runtime and by NPUs. What lies outside the network (layout, normalisation,
temperature, softmax) stays in float, and by default the classifier too: quantizing it cost a detector of
defects its whole accuracy, with either quantizer, and it is half a percent of the time of a network of
depthwise convolutions.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import onnx

from edgetl_exporters.graph import IMAGES, find_classifier, outside_nodes, pooling_nodes
from edgetl_exporters.model import Pixels
from edgetl_exporters.quiet import quiet
from edgetl_exporters.ranges import extremes
from edgetl_exporters.weight_only import with_int8_weights

Quantizer = Literal["onnxruntime", "nncf"]
Bits: TypeAlias = Literal[7, 8]

_BATCH = 10
_NO_TELEMETRY = "NNCF_CI"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to quantize.

    bits: of weights; 7 leaves room for the 16-bit sums of x86 processors without VNNI. float_classifier:
    False quantizes the last layer as well, for comparison.
    """

    quantizer: Quantizer
    bits: Bits = 8
    float_classifier: bool = True

    @property
    def steps(self) -> int | None:
        """The steps from zero to a filter's largest weight; None where that falls between two."""
        return {("onnxruntime", 8): 127, ("nncf", 8): 127, ("onnxruntime", 7): 64}.get(
            (self.quantizer, self.bits)
        )


class QuantizerError(Exception):
    """A quantizer fails on a network; with another plan, or another quantizer, it may not."""


def quantize(onnx_path: Path, out: Path, *, plan: Plan, images: Pixels, ranges: Path | None = None) -> None:
    """Quantize a float ONNX file.

    Args:
        images: calibration pictures, (n, size, size, 3) uint8 RGB, from the training pictures.
        ranges: a file that keeps the ranges of activations on these pictures, for another plan; it is written
            where it is missing.

    Raises:
        QuantizerError: the quantizer fails on this network.
    """
    model = onnx.load(onnx_path)
    excluded = outside_nodes(model)
    if plan.float_classifier:
        excluded += find_classifier(model).nodes
    with quantizing(plan.quantizer):
        _QUANTIZERS[plan.quantizer](onnx_path, out, images, _Detail(plan, excluded, ranges))


@contextmanager
def quantizing(quantizer: Quantizer) -> Iterator[None]:
    """Keep a quantizer quiet, and turn its errors into one that costs a rung.

    Raises:
        QuantizerError: the quantizer fails on this network.
    """
    try:
        with quiet():
            yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # Their errors have no common class, and mean that the graph is too odd.
        reason = str(error).partition("\n")[0]
        raise QuantizerError(f"{quantizer} fails on this network ({reason})") from error


@dataclass(frozen=True, slots=True)
class _Detail:
    plan: Plan
    excluded: list[str]
    ranges: Path | None


def _by_onnxruntime(source: Path, out: Path, images: Pixels, detail: _Detail) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    ranges = detail.ranges or out.with_suffix(".ranges.json")
    if not ranges.exists():
        save_tensors_data(
            TensorsData(CalibrationMethod.MinMax, dict(extremes(source, images, out.parent))), ranges
        )
    quantize_static(
        source,
        out,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=detail.plan.bits == 7,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        nodes_to_exclude=detail.excluded + pooling_nodes(onnx.load(source)),
        # Biases stay in float, as with NNCF: engines round them to the same numbers, and files are smaller.
        extra_options={"QuantizeBias": False},
        calibration_cache_path=ranges,
    )


def _by_nncf(source: Path, out: Path, images: Pixels, detail: _Detail) -> None:
    with _without_telemetry():
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            OverflowFix,
            QuantizationParameters,
        )
    quantized = nncf.quantize(
        onnx.load(source),
        nncf.Dataset([{IMAGES: image[np.newaxis]} for image in images]),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=detail.excluded),
        advanced_parameters=AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.ENABLE if detail.plan.bits == 7 else OverflowFix.DISABLE,
            activations_quantization_params=QuantizationParameters(per_channel=False),
        ),
    )
    onnx.save(with_int8_weights(quantized, detail.excluded), out)


_QUANTIZERS = {"onnxruntime": _by_onnxruntime, "nncf": _by_nncf}


class Reader:
    """Feeds ONNX Runtime's calibration, a batch at a time."""

    def __init__(self, images: Pixels) -> None:
        self._batches = iter([images[start : start + _BATCH] for start in range(0, len(images), _BATCH)])

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
