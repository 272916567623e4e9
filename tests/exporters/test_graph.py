"""Heads and temperatures are read and replaced exactly, and nothing else changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from exporter_factories import CLASSES, colours, tiny_model
from onnx import ModelProto, TensorProto, helper, numpy_helper
from photographs import deep_model

from edgetl_exporters.graph import (
    features_only,
    find_classifier,
    outside_nodes,
    pooling_nodes,
    read_head,
    read_temperature,
    with_head,
    with_temperature,
)
from edgetl_exporters.measure import run_file
from edgetl_exporters.to_onnx import to_onnx
from edgetl_runtime import ContractError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    to_onnx(tiny_model(), path)
    return onnx.load(path)


def logits_of(model: ModelProto, folder: Path) -> np.ndarray:
    onnx.save(model, folder / "some.onnx")
    return run_file(folder / "some.onnx", "onnxruntime", colours(6, 5).pixels, batch=4).logits


def test_the_head_that_is_read_is_the_modules(model: ModelProto) -> None:
    weight, bias = read_head(model)
    head = tiny_model().module[-1]
    assert np.array_equal(weight, head.weight.detach().numpy())
    assert np.array_equal(bias, head.bias.detach().numpy())
    assert read_temperature(model) == 1.5


def test_another_head_acts_on_the_features_exactly(model: ModelProto, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(len(CLASSES), 16)).astype(np.float32)
    bias = generator.normal(size=len(CLASSES)).astype(np.float32)
    changed = with_head(model, weight, bias)
    features = logits_of(features_only(model), tmp_path)
    assert logits_of(changed, tmp_path) == pytest.approx(features @ weight.T + bias, abs=1e-5)
    assert np.array_equal(read_head(changed)[0], weight)
    assert np.array_equal(read_head(model)[1], tiny_model().module[-1].bias.detach().numpy())


def test_a_head_of_another_width_is_refused(model: ModelProto) -> None:
    with pytest.raises(ContractError, match=r"must have the shape \(3, 16\), got \(3, 17\)"):
        with_head(model, np.zeros((3, 17), np.float32), np.zeros(3, np.float32))


def test_another_temperature_leaves_the_logits_alone(model: ModelProto, tmp_path: Path) -> None:
    changed = with_temperature(model, 4.0)
    assert read_temperature(changed) == 4.0
    assert np.array_equal(logits_of(changed, tmp_path), logits_of(model, tmp_path))


def test_what_lies_outside_the_network_is_named(model: ModelProto) -> None:
    kinds = {node.name: node.op_type for node in model.graph.node}
    assert sorted(kinds[name] for name in outside_nodes(model)) == sorted(
        ["Transpose", "Cast", "Sub", "Mul", "Div", "Softmax"]
    )
    assert "GlobalAveragePool" in {kinds[name] for name in pooling_nodes(model)}
    assert [kinds[name] for name in find_classifier(model).nodes] == ["Gemm"]


def test_the_poolings_of_joined_depths_are_all_found(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    to_onnx(replace(deep_model(), temperature=1.0), path)
    model = onnx.load(path)
    kinds = {node.name: node.op_type for node in model.graph.node}
    found = [kinds[name] for name in pooling_nodes(model)]
    assert found.count("Concat") == 1
    assert found.count("GlobalAveragePool") == 2


def test_a_product_and_a_sum_are_a_classifier_too() -> None:
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["product"], name="product"),
        helper.make_node("Add", ["product", "b"], ["logits"], name="sum"),
        helper.make_node("Div", ["logits", "t"], ["scaled"], name="temperature"),
        helper.make_node("Softmax", ["scaled"], ["probabilities"], name="softmax"),
    ]
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    values = {"w": weight, "b": np.ones(3, np.float32), "t": np.array(2, np.float32)}
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    model = helper.make_model(graph)
    assert find_classifier(model).nodes == ("product", "sum")
    assert np.array_equal(read_head(model)[0], weight.T)
    changed = with_head(model, 2 * weight.T, np.zeros(3, np.float32))
    assert np.array_equal(read_head(changed)[0], 2 * weight.T)


def test_a_graph_that_ends_otherwise_is_refused(model: ModelProto) -> None:
    broken = ModelProto()
    broken.CopyFrom(model)
    gemm = next(node for node in broken.graph.node if node.op_type == "Gemm")
    gemm.op_type = "Relu"
    with pytest.raises(
        ContractError, match="must end in a linear layer with float weights and a bias, got 'Relu'"
    ):
        find_classifier(broken)
