"""ONNX → OpenVINO IR. The only file here that imports openvino.

The topology is that of the ONNX file; a quantized file's QDQ pairs become integer kernels when it is compiled.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import openvino
from openvino import opset8  # noqa: F401


def to_openvino(onnx_path: Path, xml_path: Path, *, half: bool) -> None:
    """Write `xml_path` and the weights beside it; `half` stores float weights as fp16.

    The IR would name the local path of what it was made from, and the versions; both are removed.
    """
    model = openvino.convert_model(onnx_path)
    openvino.save_model(model, xml_path, compress_to_fp16=half)
    tree = ElementTree.parse(xml_path)
    root = tree.getroot()
    root.set("name", "edgetl")
    for info in root.findall("rt_info"):
        root.remove(info)
    tree.write(xml_path, encoding="utf-8", xml_declaration=True)
