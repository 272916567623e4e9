"""Rounding to the int8 grid with cancelling errors."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exporter_factories import colours, tiny_model
from torch import nn

from edgetl_exporters.graph import array, features_only
from edgetl_exporters.measure import run_file
from edgetl_exporters.rounding import means_graph, round_filters, rounded
from edgetl_exporters.to_onnx import to_onnx, torch_logits


class Twice(nn.Module):
    """A network that uses one convolution twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.again, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.again(self.again(self.first(x).relu()).relu())
        scores: torch.Tensor = self.head(x.mean((2, 3)))
        return scores


def test_every_weight_is_a_whole_number_of_127_steps_and_at_most_one_step_away() -> None:
    weights = np.random.default_rng(0).normal(size=(8, 27))
    found = round_filters(weights, np.ones((8, 27)), 127)
    steps = np.abs(weights).max(axis=1, keepdims=True) / 127
    assert found / steps == pytest.approx(np.round(found / steps), abs=1e-9)
    assert (np.abs(found - weights) <= steps).all()


def test_errors_weighted_by_the_mean_inputs_cancel() -> None:
    generator = np.random.default_rng(0)
    weights, means = generator.normal(size=(64, 27)), generator.uniform(0.5, 1, size=(64, 27))
    steps = np.abs(weights).max(axis=1, keepdims=True) / 127
    nearest = np.round(weights / steps) * steps
    before = np.abs(((nearest - weights) * means).sum(axis=1)).mean()
    after = np.abs(((round_filters(weights, means, 127) - weights) * means).sum(axis=1)).mean()
    assert after < before / 4


def test_a_filter_of_zeros_stays_zero() -> None:
    assert np.array_equal(round_filters(np.zeros((2, 9)), np.ones((2, 9)), 127), np.zeros((2, 9)))


def test_mean_inputs_are_those_of_the_layers_and_the_rounded_network_answers_alike(tmp_path: Path) -> None:
    to_onnx(tiny_model(), tmp_path / "model.onnx")
    model, data = onnx.load(tmp_path / "model.onnx"), colours(30, 1)
    onnx.save(means_graph(model), tmp_path / "means.onnx")
    means = run_file(tmp_path / "means.onnx", "onnxruntime", data.pixels, batch=10).logits
    assert means.shape == (30, 3 + 8 + 8)
    normal = (data.pixels / 255 - tiny_model().mean) / tiny_model().std
    assert means[:, :3] == pytest.approx(normal.mean(axis=(1, 2)), abs=1e-5)

    changed = rounded(model, means, 127)
    onnx.save(changed, tmp_path / "rounded.onnx")
    logits = run_file(tmp_path / "rounded.onnx", "onnxruntime", data.pixels, batch=10).logits
    wanted = torch_logits(tiny_model(), data.pixels)
    assert logits == pytest.approx(wanted, abs=0.03 * float(np.ptp(wanted)))
    names = [t.name for t in model.graph.initializer]
    moved = [
        name for name in names if not np.array_equal(array(model.graph, name), array(changed.graph, name))
    ]
    assert len(moved) == 6  # weights and biases of three convolutions, and nothing of the head


def sharing(model: onnx.ModelProto, input_number: int) -> onnx.ModelProto:
    """Let the first two convolutions of the same shape read one constant."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    convolutions = [node for node in changed.graph.node if node.op_type == "Conv"]
    shapes = [array(changed.graph, node.input[input_number]).shape for node in convolutions]
    first, second = next(
        (convolutions[a], convolutions[b]) for a in range(3) for b in range(a) if shapes[a] == shapes[b]
    )
    second.input[input_number] = first.input[input_number]
    return changed


def mean_shifts(model: onnx.ModelProto, changed: onnx.ModelProto, folder: Path) -> np.ndarray:
    """What rounding moves the mean of each feature by, in shares of its spread."""
    means = []
    for name, one in (("before", model), ("after", changed)):
        onnx.save(features_only(one), folder / f"{name}.onnx")
        means.append(run_file(folder / f"{name}.onnx", "onnxruntime", colours(60, 1).pixels, batch=10).logits)
    spread = means[0].std(axis=0).max()
    return np.asarray(np.abs(means[0].mean(axis=0) - means[1].mean(axis=0)) / spread)


def test_convolutions_that_share_a_bias_each_take_up_their_own_shift(tmp_path: Path) -> None:
    to_onnx(tiny_model(), tmp_path / "model.onnx")
    model = sharing(onnx.load(tmp_path / "model.onnx"), 2)
    onnx.save(means_graph(model), tmp_path / "means.onnx")
    means = run_file(tmp_path / "means.onnx", "onnxruntime", colours(60, 1).pixels, batch=10).logits
    changed = rounded(model, means, 15)
    biases = [node.input[2] for node in changed.graph.node if node.op_type == "Conv"]
    assert len(set(biases)) == len(biases) == 3
    assert mean_shifts(model, changed, tmp_path).max() < 0.1


def test_convolutions_that_share_their_weights_stay_as_they_are(tmp_path: Path) -> None:
    to_onnx(tiny_model(module=Twice().eval()), tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    weights = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    assert len(weights) == 3
    assert len(set(weights)) == 2
    onnx.save(means_graph(model), tmp_path / "means.onnx")
    means = run_file(tmp_path / "means.onnx", "onnxruntime", colours(9, 1).pixels, batch=3).logits
    assert means.shape == (9, 3)
    changed = rounded(model, means, 127)
    assert np.array_equal(array(model.graph, weights[1]), array(changed.graph, weights[1]))
    assert not np.array_equal(array(model.graph, weights[0]), array(changed.graph, weights[0]))
