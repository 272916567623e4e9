"""From a quantized ONNX file to a network in whole numbers, and to the bytes of TFLite."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tflite
import torch
from exporter_factories import colours
from onnx import ModelProto, helper, numpy_helper
from photographs import deep_model, gated_model, photograph_data, photograph_model
from torch import nn

from edgetl_exporters.floats import write_floats
from edgetl_exporters.graph import copied
from edgetl_exporters.integer_graph import IntegerGraph
from edgetl_exporters.lowering import SAME, VALID, _same, lowered
from edgetl_exporters.model import Model
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_ethosu import quantizer
from edgetl_exporters.to_int8 import Plan
from edgetl_exporters.to_tflite import IDENTIFIER, operators_in, to_tflite
from edgetl_runtime.errors import ContractError
from edgetl_runtime.preprocess import Preprocess

PLAN = Plan("onnxruntime")


def quantized(model: Model, folder: Path, pixels: np.ndarray | None = None) -> ModelProto:
    """The QDQ file of a model."""
    source, out = folder / "model.onnx", folder / "quantized.onnx"
    write_graph(model, source)
    images = photograph_data().train.pixels if pixels is None else pixels
    quantizer(model.mean, model.std)(source, out, plan=PLAN, images=images, ranges=folder / "ranges.json")
    return onnx.load(out)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    """With bounded activations and without gates."""
    return quantized(photograph_model(), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    """With gates."""
    return quantized(gated_model(), tmp_path_factory.mktemp("gated"))


def core_of(model: ModelProto) -> IntegerGraph:
    known = photograph_model()
    return lowered(model, known.mean, known.std)


def test_all_between_pixels_and_classifier_is_in_whole_numbers(plain: ModelProto) -> None:
    core = core_of(plain)
    kinds = [operator.kind for operator in core.operators]
    assert kinds == [
        "DEPTHWISE_CONV_2D",  # The normalisation.
        *("PAD", "CONV_2D", "CONV_2D", "PAD", "DEPTHWISE_CONV_2D", "CONV_2D", "CONV_2D"),
        "MEAN",
    ]
    pixels, features = core.tensors[core.input], core.tensors[core.output]
    assert (pixels.shape, pixels.scales, pixels.zero_point) == ((1, 32, 32, 3), (1.0,), -128)
    assert (features.shape, features.zero_point) == ((1, 1, 1, 32), -128)
    assert {one.values.dtype.name for one in core.tensors.values() if one.values is not None} == {
        "int8",
        "int32",
    }


def test_gates_poolings_and_linear_layers_have_an_integer_form_too(gated: ModelProto) -> None:
    core = core_of(gated)
    assert Counter(operator.kind for operator in core.operators) == {
        "DEPTHWISE_CONV_2D": 4,  # The normalisation, two layers, and a hard sigmoid.
        "CONV_2D": 8,  # One of them a linear layer.
        "PAD": 2,
        "MAX_POOL_2D": 1,
        "MEAN": 3,
        "LOGISTIC": 2,
        "HARD_SWISH": 2,
        "MUL": 3,
        "ADD": 2,
    }
    gates = [one.output for one in core.operators if one.kind == "LOGISTIC"]
    assert {(core.tensors[name].scales[0], core.tensors[name].zero_point) for name in gates} == {
        (1 / 256, -128)
    }


def test_depths_are_rounded_to_the_steps_of_their_join(tmp_path: Path) -> None:
    core = core_of(quantized(deep_model(), tmp_path))
    join = core.operators[-1]
    assert (join.kind, join.output) == ("CONCATENATION", core.output)
    assert core.tensors[core.output].shape == (1, 1, 1, 48)
    steps = {
        (core.tensors[name].scales, core.tensors[name].zero_point) for name in (*join.inputs, join.output)
    }
    assert len(steps) == 1


def test_a_join_of_what_are_no_means_is_refused(tmp_path: Path) -> None:
    class Joined(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x.relu(), x], dim=1)

    module = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        Joined(),
        nn.Conv2d(8, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 7),
    )
    with pytest.raises(ContractError, match="must join channels of poolings"):
        core_of(quantized(replace(photograph_model(), module=module.eval()), tmp_path))


def test_the_first_layer_normalises(plain: ModelProto) -> None:
    core, known = core_of(plain), photograph_model()
    weight, bias = (core.tensors[name] for name in core.operators[0].inputs[1:])
    assert weight.values is not None
    assert bias.values is not None
    levels = np.arange(256.0)[:, None]
    got = levels * (weight.values.ravel() * weight.scales) + bias.values * np.array(bias.scales)
    want = (levels / 255 - known.mean) / np.array(known.std)
    assert np.abs(got - want).max() < 1e-4


def test_a_gate_over_next_to_nothing_keeps_its_offset(gated: ModelProto) -> None:
    changed = copied(gated)
    gate = next(node for node in changed.graph.node if node.op_type == "HardSigmoid")
    pair = next(node for node in changed.graph.node if gate.input[0] in node.output)
    scale = next(one for one in changed.graph.initializer if one.name == pair.input[1])
    scale.CopyFrom(numpy_helper.from_array(np.array(1e-12, np.float32), scale.name))
    core = core_of(changed)
    layer = next(one for one in core.operators if one.name == gate.name)
    weight, bias = (core.tensors[name] for name in layer.inputs[1:])
    assert weight.values is not None
    assert bias.values is not None
    np.testing.assert_allclose(bias.values * np.array(bias.scales), 0.5, rtol=1e-6)
    assert not weight.values.any()


def test_the_pixels_of_a_mean_of_a_half_keep_their_levels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    model = Model(
        "half", module.eval(), "single_label", ("a", "b", "c"), Preprocess(32), (0.5,) * 3, (0.5,) * 3
    )
    core = lowered(quantized(model, tmp_path, colours(20, 0).pixels), model.mean, model.std)
    steps = core.tensors[core.operators[0].output]
    places = (np.arange(256) / 127.5 - 1) / steps.scales[0] + steps.zero_point
    assert len(set(np.rint(places))) >= 255
    assert np.abs(places - np.floor(places) - 0.5).min() > 5e-4


def test_a_border_is_named_where_the_format_has_a_name_for_it(plain: ModelProto) -> None:
    assert _same((32, 32), (3, 3), (1, 1), (1, 1)) == [1, 1, 1, 1]
    assert _same((32, 32), (3, 3), (2, 2), (1, 1)) == [0, 0, 1, 1]
    assert _same((33, 32), (3, 3), (2, 2), (1, 1)) == [1, 0, 1, 1]
    assert _same((32, 32), (3, 3), (1, 1), (2, 2)) == [2, 2, 2, 2]
    assert _same((32, 32), (1, 1), (2, 2), (1, 1)) == [0, 0, 0, 0]
    settings = [one.settings["padding"] for one in core_of(plain).operators if "padding" in one.settings]
    assert set(settings) == {VALID}
    assert SAME != VALID


def test_the_file_is_one_of_tflite_and_has_the_operators_in_their_order(plain: ModelProto) -> None:
    core = core_of(plain)
    data = to_tflite(core, "photographs")
    assert data[4:8] == IDENTIFIER
    assert operators_in(data) == [(one.kind, one.output) for one in core.operators]
    model = tflite.Model.GetRootAs(data, 0)
    assert (model.Version(), model.Description(), model.SubgraphsLength()) == (3, b"photographs", 1)
    graph = model.Subgraphs(0)
    assert [graph.Tensors(graph.Inputs(0)).Name(), graph.Tensors(graph.Outputs(0)).Name()] == [
        core.input.encode(),
        core.output.encode(),
    ]


def test_every_number_of_the_file_is_the_one_that_was_quantized(gated: ModelProto) -> None:
    core = core_of(gated)
    model = tflite.Model.GetRootAs(to_tflite(core, "gated"), 0)
    graph = model.Subgraphs(0)
    assert graph.TensorsLength() == len(core.tensors)
    for place, want in enumerate(core.tensors.values()):
        got = graph.Tensors(place)
        assert tuple(got.ShapeAsNumpy()) == want.shape
        if want.scales:
            quantization = got.Quantization()
            np.testing.assert_array_equal(quantization.ScaleAsNumpy(), np.float32(want.scales))
            assert set(quantization.ZeroPointAsNumpy()) == {want.zero_point}
            assert quantization.QuantizedDimension() == (want.axis if len(want.scales) > 1 else 0)
        if want.values is not None:
            stored = model.Buffers(got.Buffer()).DataAsNumpy()
            assert stored.tobytes() == want.values.tobytes()


def test_equal_files_give_equal_bytes(plain: ModelProto) -> None:
    assert to_tflite(core_of(plain), "a") == to_tflite(core_of(copied(plain)), "a")


def test_operators_without_an_integer_form_are_all_named(plain: ModelProto) -> None:
    changed = copied(plain)
    for node in changed.graph.node:
        if node.op_type == "GlobalAveragePool":
            node.op_type = "GlobalMaxPool"
    with pytest.raises(
        ContractError, match=r"1 of 6 operators .*: GlobalMaxPool 'node_mean'\. Known are Conv"
    ):
        core_of(changed)


def test_an_operator_in_float_is_a_stranger_too(plain: ModelProto) -> None:
    changed = copied(plain)
    reader = next(node for node in changed.graph.node if node.op_type == "GlobalAveragePool")
    pair = next(node for node in changed.graph.node if reader.input[0] in node.output)
    quantize = next(node for node in changed.graph.node if pair.input[0] in node.output)
    reader.input[0] = quantize.input[0]
    with pytest.raises(ContractError, match=r"1 of 6 operators .*: GlobalAveragePool 'node_mean'"):
        core_of(changed)


def test_a_border_that_the_engine_chooses_is_refused(plain: ModelProto) -> None:
    changed = copied(plain)
    layer = next(node for node in changed.graph.node if node.op_type == "Conv")
    kept = [one for one in layer.attribute if one.name not in ("auto_pad", "pads")]
    del layer.attribute[:]
    layer.attribute.extend([*kept, helper.make_attribute("auto_pad", "SAME_UPPER")])
    with pytest.raises(ContractError, match="must name its border, got b'SAME_UPPER'"):
        core_of(changed)


def test_the_float_graph_is_no_quantized_one(tmp_path: Path) -> None:
    model = photograph_model()
    source = write_floats(model, photograph_data(), tmp_path, lambda *_: 1.0, None).onnx
    with pytest.raises(ContractError, match="operators have no integer form"):
        core_of(onnx.load(source))
