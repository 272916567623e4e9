"""A lean IR computes what OpenVINO's own does, bit for bit, and says where nothing came from."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openvino
import pytest
from exporter_factories import Gated, colours, tiny_model

from edgetl_exporters.lean_ir import make_lean
from edgetl_exporters.measure import run_file
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_int8 import Plan, quantize

OUTSIDE = ["images", "logits", "probabilities"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 ONNX file of a gated network."""
    folder = tmp_path_factory.mktemp("gated")
    write_graph(tiny_model(module=Gated().eval()), folder / "model.onnx")
    quantize(folder / "model.onnx", folder / "int8.onnx", plan=Plan("nncf"), images=colours(20, 1).pixels)
    return folder / "int8.onnx"


@pytest.fixture
def saved(network: Path, tmp_path: Path) -> Path:
    """The IR of that file, as OpenVINO writes it."""
    openvino.save_model(openvino.convert_model(network), tmp_path / "model.xml", compress_to_fp16=True)
    return tmp_path / "model.xml"


def attributes(xml: Path, path: str, name: str) -> list[str]:
    """List what the elements under `path` have for an attribute."""
    return [one.attrib[name] for one in ElementTree.parse(xml).iterfind(path) if name in one.attrib]


def test_it_computes_the_same_bit_for_bit(saved: Path) -> None:
    images = colours(20, 2).pixels
    before = run_file(saved, "openvino", images, batch=5)
    make_lean(saved)
    after = run_file(saved, "openvino", images, batch=5)
    np.testing.assert_array_equal(after.logits, before.logits)
    assert np.ptp(before.logits) > 0


def test_it_has_less_than_half_of_the_bytes(saved: Path) -> None:
    before = saved.stat().st_size
    make_lean(saved)
    assert saved.stat().st_size < before / 2


def test_what_is_seen_from_outside_keeps_its_name(saved: Path) -> None:
    make_lean(saved)
    opened = openvino.Core().read_model(saved)
    assert [one.names for one in opened.inputs] == [{"images"}]
    assert [one.names for one in opened.outputs] == [{"logits"}, {"probabilities"}]
    assert set(attributes(saved, "layers/layer/output/port", "names")) == {
        "images",
        "logits",
        "probabilities",
    }


def test_no_version_no_place_and_no_count_of_the_process_is_left(saved: Path) -> None:
    make_lean(saved)
    net = ElementTree.parse(saved)
    assert str(saved.parent) not in saved.read_text(encoding="utf-8")
    assert net.find("rt_info") is None
    inner = [one for one in net.iter("layer") if one.get("type") not in ("Parameter", "Result")]
    assert [one.get("name") for one in inner] == [one.get("id") for one in inner]


def test_no_constant_is_there_twice_and_none_is_lost(saved: Path) -> None:
    def constants() -> Counter[tuple[str, ...]]:
        found = ElementTree.parse(saved).iterfind("layers/layer[@type='Const']/data")
        return Counter(tuple(one.attrib.values()) for one in found)

    before = constants()
    make_lean(saved)
    assert max(before.values()) > 1
    assert set(constants().values()) == {1}
    assert set(constants()) == set(before)


def test_every_edge_begins_at_a_layer_that_is_there(saved: Path) -> None:
    make_lean(saved)
    layers = set(attributes(saved, "layers/layer", "id"))
    assert set(attributes(saved, "edges/edge", "from-layer")) <= layers


def test_made_lean_twice_is_made_lean_once(saved: Path) -> None:
    make_lean(saved)
    once = saved.read_bytes()
    make_lean(saved)
    assert saved.read_bytes() == once
