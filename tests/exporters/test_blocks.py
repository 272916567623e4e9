"""Blocks: contiguous, whole where branches meet, and not more than wanted."""

from pathlib import Path

import onnx
import pytest
import torch
from exporter_factories import tiny_model
from torch import Tensor, nn

from edgetl_exporters.blocks import blocks
from edgetl_exporters.graph import find_classifier, outside_nodes
from edgetl_exporters.to_onnx import to_onnx


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (x + self.two(self.one(x).relu())).relu()
        result: Tensor = self.head(x.mean((2, 3)))
        return result


@pytest.fixture
def residual(tmp_path: Path) -> onnx.ModelProto:
    torch.manual_seed(0)
    to_onnx(tiny_model(module=Residual().eval()), tmp_path / "model.onnx")
    return onnx.load(tmp_path / "model.onnx")


def kinds(model: onnx.ModelProto, names: tuple[str, ...]) -> list[str]:
    return [node.op_type for node in model.graph.node if node.name in names]


def test_a_residual_branch_is_one_block_with_what_joins_it(residual: onnx.ModelProto) -> None:
    found = [kinds(residual, block) for block in blocks(residual, 16)]
    assert found[0] == ["Conv", "Relu"]
    assert [kind for kind in found[1] if kind != "Reshape"][:5] == ["Conv", "Relu", "Conv", "Add", "Relu"]
    assert len(found) == 2


def test_fewer_blocks_hold_the_same_nodes(residual: onnx.ModelProto) -> None:
    (whole,) = blocks(residual, 1)
    inside = {node.name for node in residual.graph.node}
    assert set(whole) == inside - {*outside_nodes(residual), *find_classifier(residual).nodes}
