"""torch → ONNX, once: the topology that every variant is made from. Only this file imports torch.

The graph takes pixels and gives probabilities, so that no app needs a second description:

    images         uint8 (N, size, size, 3) RGB
    logits         float32 (N, classes), before the temperature
    probabilities  float32 (N, classes): softmax, or for several labels sigmoid, of logits / temperature
"""

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from edgetl_exporters.graph import slimmed
from edgetl_exporters.heads import plain_head
from edgetl_exporters.model import Floats, Model, Pixels
from edgetl_exporters.quiet import quiet
from edgetl_runtime.pictures import Task

OPSET = 20


class _Graph(nn.Module):
    """Pixels to logits and probabilities around a module of normalised pictures."""

    mean: Tensor
    scale: Tensor
    temperature: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.module = model.module
        self.task: Task = model.task
        mean, std = torch.tensor(model.mean), torch.tensor(model.std)
        self.register_buffer("mean", (255 * mean).reshape(1, 3, 1, 1))
        self.register_buffer("scale", (1 / (255 * std)).reshape(1, 3, 1, 1))
        self.register_buffer("temperature", torch.tensor(model.temperature))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise, run, and turn logits into probabilities."""
        x = (images.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        logits = self.module(x)
        scaled = logits / self.temperature
        return logits, scaled.sigmoid() if self.task == "multi_label" else scaled.softmax(dim=1)


def to_onnx(model: Model, path: Path) -> None:
    """Write the model as one ONNX file with a dynamic batch; equal models give equal bytes."""
    graph, size = _Graph(model).eval(), model.preprocess.size
    # Two pictures, since a batch of one would be taken for a constant.
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with quiet(), torch.no_grad():
        exported = torch.export.export(graph, (example,), dynamic_shapes={"images": {0: Dim("N")}})
        program = torch.onnx.export(
            _attend_in_four(_pool_by_mean(exported)),
            dynamo=True,
            external_data=False,
            input_names=["images"],
            output_names=["logits", "probabilities"],
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        slim = slimmed(program.model_proto)
    onnx.save(plain_head(slim), path)


def torch_logits(model: Model, pixels: Pixels, batch: int = 16) -> Floats:
    """Return what the trained module itself answers, (n, classes): the reference of the parity check.

    It normalises as training does, not through the exported graph, so that a mistake there shows.
    """
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (model.mean, model.std))
    parts = []
    with torch.no_grad():
        for start in range(0, len(pixels), batch):
            x = torch.from_numpy(pixels[start : start + batch]).permute(0, 3, 1, 2).float() / 255
            parts.append(model.module((x - mean) / std))
    logits: Floats = torch.cat(parts).numpy()
    return logits


def _pool_by_mean(program: ExportedProgram) -> ExportedProgram:
    """Write pooling to one pixel as a mean: the exporter would gather, which no quantizer knows."""
    aten = torch.ops.aten
    for node in program.graph_module.graph.find_nodes(
        op="call_function", target=aten.adaptive_avg_pool2d.default
    ):
        if set(node.args[1]) == {1}:
            node.target, node.args = aten.mean.dim, (node.args[0], [2, 3], True)
    program.graph_module.recompile()
    return program


def _attend_in_four(program: ExportedProgram) -> ExportedProgram:
    """Give attention within windows four dimensions, which the exporter wants: windows count as pictures."""
    aten, graph = torch.ops.aten, program.graph_module.graph
    for node in graph.find_nodes(op="call_function", target=aten.scaled_dot_product_attention.default):
        windows, rest = node.meta["val"].shape[1], node.args[3:]
        if node.meta["val"].ndim != 5 or any(isinstance(one, Node) for one in rest):
            continue
        with graph.inserting_before(node):
            flat = [graph.call_function(aten.flatten.using_ints, (one, 0, 1)) for one in node.args[:3]]
        node.args = (*flat, *rest)
        with graph.inserting_after(node):
            back = graph.call_function(aten.unflatten.int, (node, 0, [-1, windows]))
        node.replace_all_uses_with(back, delete_user_cb=lambda user, back=back: user is not back)
    program.graph_module.recompile()
    return program
