"""What a model comes from: a torch module or an ONNX file. Loads the tool chain that it takes."""

from pathlib import Path

from edgetl_exporters.model import Floats, Model, Pixels


def write_graph(model: Model, path: Path) -> None:
    """Write the float graph, from pixels to probabilities, as ONNX."""
    if isinstance(model.module, Path):
        from edgetl_exporters.from_onnx import from_onnx

        from_onnx(model, path)
    else:
        from edgetl_exporters.to_onnx import to_onnx

        to_onnx(model, path)


def own_logits(model: Model, pixels: Pixels) -> Floats:
    """Return what the given network itself answers, (n, classes), by another way than the written graph."""
    if isinstance(model.module, Path):
        from edgetl_exporters.from_onnx import onnx_logits

        return onnx_logits(model, pixels)
    from edgetl_exporters.to_onnx import torch_logits

    return torch_logits(model, pixels)
