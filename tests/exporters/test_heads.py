"""Heads of all forms are found, and give the logits that they gave before."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporter_factories import CLASSES, SIZE, colours, tiny_model
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from edgetl_exporters.graph import classifier, find_classifier, read_head, with_head
from edgetl_exporters.heads import plain_head
from edgetl_exporters.measure import run_file
from edgetl_exporters.to_onnx import to_onnx, torch_logits

WIDTH, GENERATOR = 16, np.random.default_rng(0)
WEIGHT = GENERATOR.normal(size=(len(CLASSES), WIDTH)).astype(np.float32)
BIAS = GENERATOR.normal(size=len(CLASSES)).astype(np.float32)


def graph_ending(nodes: Sequence[NodeProto], **constants: np.ndarray) -> ModelProto:
    """A network whose `map` has 16 channels and whose `pooled` are their means, and the nodes of a head."""
    values = {
        "kernel": GENERATOR.normal(size=(WIDTH, 3, 3, 3)) / 200,
        "temperature": np.array(2.0),
        **constants,
    }
    before = [
        helper.make_node("Cast", ["images"], ["float"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["turned"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "kernel"], ["features"], name="conv"),
        helper.make_node("Relu", ["features"], ["map"], name="relu"),
        helper.make_node("GlobalAveragePool", ["map"], ["small"], name="pool"),
        helper.make_node("Flatten", ["small"], ["pooled"], name="flatten"),
    ]
    after = [
        helper.make_node("Div", ["logits", "temperature"], ["scaled"], name="divide"),
        helper.make_node("Softmax", ["scaled"], ["probabilities"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        [*before, *nodes, *after],
        "network",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", len(CLASSES)])
            for name in ("logits", "probabilities")
        ],
        [
            numpy_helper.from_array(np.asarray(array, np.int64 if name == "axes" else np.float32), name)
            for name, array in values.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def node(kind: str, inputs: Sequence[str], output: str = "logits", **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"head_{kind}_{output}", **attributes)


def convolution(source: str, *more: NodeProto, bias: bool = True) -> ModelProto:
    constants = {"w": WEIGHT[:, :, None, None]} | ({"b": BIAS} if bias else {})
    return graph_ending([node("Conv", [source, *constants], "scores"), *more], **constants)


FORMS = {
    "Gemm without bias": graph_ending([node("Gemm", ["pooled", "w"], transB=1)], w=WEIGHT),
    "scaled Gemm": graph_ending(
        [node("Gemm", ["pooled", "w", "b"], alpha=0.5, beta=2.0)], w=WEIGHT.T, b=BIAS
    ),
    "Gemm with a row as bias": graph_ending([node("Gemm", ["pooled", "w", "b"])], w=WEIGHT.T, b=BIAS[None]),
    "product alone": graph_ending([node("MatMul", ["pooled", "w"])], w=WEIGHT.T),
    "bias plus product": graph_ending(
        [node("MatMul", ["pooled", "w"], "product"), node("Add", ["b", "product"])], w=WEIGHT.T, b=BIAS
    ),
    "product plus one number": graph_ending(
        [node("MatMul", ["pooled", "w"], "product"), node("Add", ["product", "b"])], w=WEIGHT.T, b=BIAS[:1]
    ),
    "convolution behind the pooling": convolution("small", node("Flatten", ["scores"])),
    "convolution before the pooling": convolution(
        "map", node("GlobalAveragePool", ["scores"], "mean"), node("Flatten", ["mean"]), bias=False
    ),
}
FORMS["convolution before a mean"] = graph_ending(
    [node("Conv", ["map", "w", "b"], "scores"), node("ReduceMean", ["scores", "axes"], keepdims=0)],
    w=WEIGHT[:, :, None, None],
    b=BIAS,
    axes=np.array([2, 3]),
)


def logits_of(model: ModelProto, path: Path) -> np.ndarray:
    onnx.save(model, path)
    return np.asarray(run_file(path, "onnxruntime", colours(9, 1).pixels, batch=3).logits)


@pytest.mark.parametrize("form", list(FORMS))
def test_a_head_of_any_form_becomes_one_that_is_found(form: str, tmp_path: Path) -> None:
    model = FORMS[form]
    assert classifier(model) is None
    plain = plain_head(model)
    onnx.checker.check_model(plain, full_check=True)
    wanted = logits_of(model, tmp_path / "before.onnx")
    rounding = 1e-4 * float(np.ptp(wanted))
    assert logits_of(plain, tmp_path / "after.onnx") == pytest.approx(wanted, abs=rounding)
    weight, bias = read_head(plain)
    assert (weight.shape, bias.shape) == (WEIGHT.shape, BIAS.shape)
    doubled = logits_of(with_head(plain, 2 * weight, 2 * bias), tmp_path / "doubled.onnx")
    assert doubled == pytest.approx(2 * wanted, abs=2 * rounding)


@pytest.mark.parametrize(
    "model",
    [
        graph_ending([node("Gemm", ["pooled", "w", "b"], transB=1)], w=WEIGHT, b=BIAS),
        graph_ending(
            [node("Gemm", ["pooled", "w", "b"], "sum", transB=1), node("Relu", ["sum"])], w=WEIGHT, b=BIAS
        ),
        convolution("small", node("Relu", ["scores"], "some"), node("Flatten", ["some"])),
    ],
    ids=["plain already", "activation behind a product", "activation behind a convolution"],
)
def test_what_is_plain_or_no_linear_layer_stays_as_it_is(model: ModelProto) -> None:
    assert plain_head(model) == model


def test_a_torch_module_with_a_convolution_as_head_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    model = tiny_model(module=module)
    to_onnx(model, tmp_path / "model.onnx")
    assert find_classifier(onnx.load(tmp_path / "model.onnx")).nodes == ("edgetl_head",)
    pixels = colours(6, 1).pixels
    logits = run_file(tmp_path / "model.onnx", "onnxruntime", pixels, batch=2).logits
    assert logits == pytest.approx(torch_logits(model, pixels), abs=1e-4)
