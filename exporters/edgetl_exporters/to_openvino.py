"""ONNX → OpenVINO IR. The only file here that imports openvino.

The topology is that of the ONNX file; the QDQ pairs of a quantized one become integer kernels on compilation.
"""

import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import Any

import openvino
from openvino._offline_transformations import apply_moc_transformations

# Layers by which the graph is known from outside keep their names.
_PORTS = ("Parameter", "Result")


def to_openvino(onnx_path: Path, xml_path: Path, *, half: bool) -> None:
    """Write `xml_path` and the weights beside it; `half` stores float weights as fp16.

    Equal files give equal bytes, and no byte tells where or with what they were made.
    """
    # What openvino.convert_model does for an ONNX file, in a fifth of the time, and without its telemetry.
    model = _core().read_model(onnx_path)
    apply_moc_transformations(model, cf=False)
    openvino.save_model(model, xml_path, compress_to_fp16=half)
    tree = ElementTree.parse(xml_path)
    _normalise(tree.getroot())
    tree.write(xml_path, encoding="utf-8", xml_declaration=True)


@cache
def _core() -> Any:  # openvino.Core, which mypy does not follow
    """Return one core that stays: making and destroying several crashes at times, see benchmarks/cores.py."""
    return openvino.Core()


def _normalise(net: ElementTree.Element) -> None:
    """Remove local paths, versions and indentation; OpenVINO counts names over the process, places do not."""
    net.set("name", "edgetl")
    for info in net.findall("rt_info"):
        net.remove(info)
    for layer in net.iter("layer"):
        if layer.get("type") not in _PORTS:
            layer.set("name", f"{layer.get('type')}_{layer.get('id')}")
    for element in net.iter():
        if not (element.text or "").strip():
            element.text = None
        element.tail = None
