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
from onnx import ModelProto, TensorProto

from edgetl_exporters import export, ladder, made
from edgetl_exporters import floats as floats_module
from edgetl_exporters.graph import array, read_head, replaced, with_head
from edgetl_exporters.report import Report
from edgetl_exporters.to_int8 import quantize
from edgetl_runtime import Bundle, BundleError, ContractError, InputError, ProofError, Session
from edgetl_runtime.manifest import EngineName
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


@pytest.mark.parametrize("variant", ["openvino-fp32", "openvino-fp16"])
def test_a_saved_float_file_that_is_another_network_is_stopped_also_where_it_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    true = floats_module.to_openvino

    def broken(source: Path, xml: Path, *, half: bool) -> None:
        if xml.name == f"model.{variant[-4:]}.xml":
            model = onnx.load(source)
            head = read_head(model)
            source = source.with_name("broken.onnx")
            onnx.save(with_head(model, 1.1 * head[0], 1.1 * head[1]), source)  # The answers are the same.
        true(source, xml, half=half)

    monkeypatch.setattr(floats_module, "to_openvino", broken)
    with pytest.raises(
        ContractError, match=f"The saved file of {variant} is not the float model: it answers 45 of 45"
    ):
        run_export(tmp_path / "bundle", variants=["onnx-fp32", variant])
    assert list(tmp_path.iterdir()) == []


def changed(change: Callable[[ModelProto], ModelProto]) -> Callable[..., None]:
    """A quantizer whose file is changed afterwards."""

    def quantizer(onnx_path: Path, out: Path, **how: Any) -> None:
        quantize(onnx_path, out, **how)
        onnx.save(change(onnx.load(out)), out)

    return quantizer


def scaled(factor: float) -> Callable[[ModelProto], ModelProto]:
    """The step of the first activation is wrong."""

    def change(model: ModelProto) -> ModelProto:
        name = next(node for node in model.graph.node if node.op_type == "QuantizeLinear").input[1]
        return replaced(model, {name: array(model.graph, name) * factor})

    return change


def a_clobbered_channel(model: ModelProto) -> ModelProto:
    """One filter of whole numbers is what a bad disk makes of it."""
    name = next(
        t.name for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) == 4
    )
    weights = array(model.graph, name).copy()
    weights[np.abs(weights.astype(int)).sum(axis=(1, 2, 3)).argmax()] = 127
    return replaced(model, {name: weights})


@pytest.mark.parametrize(
    "change", [scaled(1e-4), scaled(1e4), a_clobbered_channel], ids=["saturated", "rounded away", "clobbered"]
)
def test_a_broken_int8_is_stopped_by_the_contract(
    tmp_path: Path, change: Callable[[ModelProto], ModelProto]
) -> None:
    with pytest.raises(ContractError, match="int8 misses its limit of 5 points: onnxruntime: on"):
        run_export(tmp_path / "bundle", quantize=changed(change), solve_head=None)
    assert list(tmp_path.iterdir()) == []


def test_an_int8_that_one_engine_answers_otherwise_is_stopped_by_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = ladder.run_file

    def wrong_in_onnxruntime(file: Path, engine: EngineName, *given: Any, **named: Any) -> Any:
        found = true(file, engine, *given, **named)
        return replace(found, logits=np.roll(found.logits, 1, axis=1)) if engine == "onnxruntime" else found

    monkeypatch.setattr(ladder, "run_file", wrong_in_onnxruntime)
    with pytest.raises(ContractError, match=r"onnxruntime: accuracy drops by 100\.0 points"):
        run_export(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_an_int8_that_is_not_faster_here_is_marked_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "interleaved_ms", lambda *given: {"int8": 2.0, "float": 1.0})
    report = run_export(tmp_path / "bundle", variants=["openvino-int8", "openvino-fp16"])
    assert {row.name: row.slower_here for row in report.variants} == {
        "openvino-int8": True,
        "openvino-fp16": False,
    }


@pytest.mark.parametrize(("one", "other"), [("train", "choose"), ("train", "verify"), ("choose", "verify")])
def test_a_picture_in_two_roles_is_refused(one: str, other: str) -> None:
    data = tiny_data()
    with pytest.raises(
        InputError, match=f"got 45 in both {one} and {other}|got 60 in both {one} and {other}"
    ):
        replace(data, **{other: getattr(data, one)})


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
