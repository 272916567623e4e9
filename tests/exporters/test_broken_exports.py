"""Exports broken on purpose, each stopped by what is there to stop it: parity, contract, proof or hashes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporter_factories import Quiet, fit_temperature, solve_head, tiny_data, tiny_model
from onnx import ModelProto

from edgetl_exporters import export
from edgetl_exporters import floats as floats_module
from edgetl_exporters.graph import array, replaced
from edgetl_exporters.report import Report
from edgetl_exporters.to_int8 import quantize
from edgetl_runtime import Bundle, BundleError, ContractError, ProofError, Session
from edgetl_runtime.preprocess import Preprocess


def run_export(out: Path, **changes: Any) -> Report:
    arguments: dict[str, Any] = {
        "max_drop": 0.05,
        "solve_head": solve_head,
        "fit_temperature": fit_temperature,
        "watcher": Quiet(),
    } | changes
    return export(tiny_model(), tiny_data(), out, **arguments)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "bundle"
    run_export(out, variants=["onnx-fp32"])
    return out


def constant(model: ModelProto, kind: str) -> str:
    """Name the constant that the first node of a kind reads."""
    known = {tensor.name for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.op_type == kind)
    return next(name for name in node.input if name in known)


def red_for_blue(model: ModelProto) -> ModelProto:
    """The classic of OpenCV: the first filters read the channels in the other order."""
    weight = constant(model, "Conv")
    return replaced(model, {weight: array(model.graph, weight)[:, ::-1]})


def another_mean(model: ModelProto) -> ModelProto:
    name = constant(model, "Sub")
    return replaced(model, {name: array(model.graph, name) + 25})


def another_deviation(model: ModelProto) -> ModelProto:
    name = constant(model, "Mul")
    return replaced(model, {name: array(model.graph, name) * 1.3})


def a_channel_lost(model: ModelProto) -> ModelProto:
    weight = constant(model, "Conv")
    values = array(model.graph, weight).copy()
    values[np.abs(values).sum(axis=(1, 2, 3)).argmax()] = 0
    return replaced(model, {weight: values})


@pytest.mark.parametrize("breaking", [red_for_blue, another_mean, another_deviation, a_channel_lost])
def test_a_graph_that_is_not_the_network_is_stopped_by_parity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaking: Callable[[ModelProto], ModelProto]
) -> None:
    true = floats_module.write_graph

    def broken(model: Any, path: Path) -> None:
        true(model, path)
        onnx.save(breaking(onnx.load(path)), path)

    monkeypatch.setattr(floats_module, "write_graph", broken)
    with pytest.raises(ContractError, match="The exported graph is not the trained network"):
        run_export(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def scaled(what: str, factor: float) -> Callable[..., None]:
    """A quantizer that gets a step wrong: of the first activation, or of the widest filters' weights."""

    def quantizer(onnx_path: Path, out: Path, **how: Any) -> None:
        quantize(onnx_path, out, **how)
        model = onnx.load(out)
        node = next(node for node in model.graph.node if node.op_type == what)
        name = node.input[1]
        users = [n for n in model.graph.node if n.input[1:2] == [name]]
        assert users
        onnx.save(replaced(model, {name: array(model.graph, name) * factor}), out)

    return quantizer


@pytest.mark.parametrize("factor", [1e-4, 1e4], ids=["saturated", "rounded away"])
def test_an_int8_of_wrong_ranges_is_stopped_by_the_contract(tmp_path: Path, factor: float) -> None:
    with pytest.raises(ContractError, match="int8 misses its limit of 5 points: onnxruntime: on"):
        run_export(tmp_path / "bundle", quantize=scaled("QuantizeLinear", factor))
    assert list(tmp_path.iterdir()) == []


def with_manifest(source: Path, folder: Path, **changes: Any) -> Path:
    """Copy a bundle and change its manifest, whose other hashes stay right."""
    shutil.copytree(source, folder)
    with Bundle.open(source) as bundle:
        changed = replace(bundle.manifest, **changes)
    (folder / "manifest.json").write_text(changed.to_json(), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "preprocess", [Preprocess(32, 1.0), Preprocess(32, filter="box"), Preprocess(32, 0.8)], ids=str
)
def test_another_resize_is_stopped_by_the_proof(
    exported: Path, tmp_path: Path, preprocess: Preprocess
) -> None:
    folder = with_manifest(exported, tmp_path / "bundle", preprocess=preprocess)
    with pytest.raises(ProofError, match="pixels"):
        Session.open(folder, variant="onnx-fp32")


def test_a_swapped_file_of_labels_is_stopped_by_its_hash(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "bundle")
    labels = tmp_path / "bundle" / "labels.txt"
    swapped = "".join(reversed(labels.read_text(encoding="utf-8").splitlines(keepends=True)))
    labels.write_text(swapped, encoding="utf-8")
    assert len(swapped) == (exported / "labels.txt").stat().st_size
    with pytest.raises(BundleError, match=r"labels\.txt"):
        Bundle.open(tmp_path / "bundle")
