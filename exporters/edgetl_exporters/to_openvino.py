"""ONNX → OpenVINO IR. The only file here that imports openvino.

The topology is that of the ONNX file; the QDQ pairs of a quantized one become integer kernels on compilation.
"""

from functools import cache
from pathlib import Path
from typing import Any

from edgetl_exporters.lean_ir import make_lean
from edgetl_runtime.engines.telemetry import without_telemetry

with without_telemetry():
    import openvino
    from openvino._offline_transformations import apply_moc_transformations


def to_openvino(onnx_path: Path, xml_path: Path, *, half: bool) -> None:
    """Write `xml_path` and the weights beside it; `half` stores float weights as fp16.

    Equal files give equal bytes, and no byte tells where or with what they were made.
    """
    # What openvino.convert_model does for an ONNX file, in a fifth of the time.
    model = _core().read_model(onnx_path)
    apply_moc_transformations(model, cf=False)
    openvino.save_model(model, xml_path, compress_to_fp16=half)
    make_lean(xml_path)


@cache
def _core() -> Any:  # openvino.Core, which mypy does not follow
    """Return one core that stays: making and destroying several crashes at times, see benchmarks/cores.py."""
    return openvino.Core()
