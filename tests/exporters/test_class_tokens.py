"""A network that asks how many pictures there are, for its class token, is exported like others."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from exporter_factories import Tokens, colours, tiny_model

from edgetl_exporters.graph import normalised_pixels, outside_nodes
from edgetl_exporters.measure import run_file
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_half import to_half
from edgetl_exporters.to_int8 import Plan, Quantizer, quantize


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float ONNX file of a network with a class token."""
    out = tmp_path_factory.mktemp("tokens") / "model.onnx"
    write_graph(tiny_model(module=Tokens().eval()), out)
    return out


def test_the_number_of_pictures_is_asked_for_in_the_graph(source: Path) -> None:
    readers = [node.op_type for node in onnx.load(source).graph.node if "images" in node.input]
    assert sorted(readers) == ["Shape", "Transpose"]


def test_normalisation_is_no_part_of_the_network(source: Path) -> None:
    model = onnx.load(source)
    outside = set(outside_nodes(model))
    first = [node.op_type for node in model.graph.node if node.name in outside][:4]
    assert first[:2] == ["Transpose", "Cast"]
    (pixels,) = normalised_pixels(model)
    assert [node.op_type for node in model.graph.node if pixels in node.input] == ["Conv"]


@pytest.mark.parametrize("quantizer", ["onnxruntime", "nncf"])
def test_its_int8_answers_as_it_does(source: Path, tmp_path: Path, quantizer: Quantizer) -> None:
    quantize(source, tmp_path / "int8.onnx", plan=Plan(quantizer), images=colours(30, 1).pixels)
    assert_alike(source, tmp_path / "int8.onnx", 0.05)


def test_its_fp16_answers_as_it_does(source: Path, tmp_path: Path) -> None:
    to_half(source, tmp_path / "half.onnx")
    assert_alike(source, tmp_path / "half.onnx", 0.01)


def assert_alike(source: Path, other: Path, most: float) -> None:
    """Both answer some pictures within a share of the range of the logits."""
    images = colours(20, 3).pixels
    wanted, got = (run_file(file, "onnxruntime", images, batch=5).logits for file in (source, other))
    assert np.abs(got - wanted).max() < most * np.ptp(wanted)
