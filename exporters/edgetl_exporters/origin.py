"""With what a bundle was made: opset, versions, kind of processor. No host, no date, no path."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx

from edgetl_exporters.model import Cpu
from edgetl_runtime import __version__
from edgetl_runtime.environment import read_environment

_TOOLS = (
    *("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "onnxruntime-qnn", "nncf", "openvino"),
    *("numpy", "pillow"),
)
_INTEGER = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp")


def export_facts(source: Path, cpu: Cpu) -> dict[str, Any]:
    """Describe an export; `source` is the float ONNX file.

    The processor's kind is part of it: int8 kernels may round otherwise where it is another.
    """
    environment = read_environment()
    model = onnx.load(source, load_external_data=False)
    return {
        "edgetl": __version__,
        "opset": next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")),
        "weights_for": cpu,
        "measured_on": [environment.machine, *(flag for flag in _INTEGER if flag in environment.flags)],
        "versions": {name: found for name in _TOOLS if (found := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
