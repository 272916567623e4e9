"""What a model comes from: a torch module or an ONNX file. Loads the tool chain that it takes."""

from dataclasses import replace
from pathlib import Path

import onnx

from edgetl_exporters.graph import with_temperature
from edgetl_exporters.model import Floats, Model, Pixels

# Written first and replaced: a division by one would be simplified away, and never be found again.
_ANY_TEMPERATURE = 2.0


def write_graph(model: Model, path: Path) -> None:
    """Write the float graph, from pixels to probabilities; its temperature is 1 where none is known."""
    written = replace(model, temperature=_ANY_TEMPERATURE)
    if isinstance(model.module, Path):
        from edgetl_exporters.from_onnx import from_onnx

        from_onnx(written, path)
    else:
        from edgetl_exporters.to_onnx import to_onnx

        to_onnx(written, path)
    onnx.save(with_temperature(onnx.load(path), model.temperature or 1.0), path)


def own_logits(model: Model, pixels: Pixels) -> Floats:
    """Return what the given network itself answers, (n, classes), by another way than the written graph."""
    if isinstance(model.module, Path):
        from edgetl_exporters.from_onnx import onnx_logits

        return onnx_logits(model, pixels)
    from edgetl_exporters.to_onnx import torch_logits

    return torch_logits(model, pixels)
