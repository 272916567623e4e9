"""int8 for an Ethos-U from end to end: compiled by Vela, answered by the reference kernels.

What needs the tools' environment is skipped without it: python -m edgetl_exporters.ethosu_tools
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporter_factories import solve_head
from photographs import CLASSES, crops, deep_model, gated_model, photograph_data, photograph_model
from PIL import Image
from torch import nn

from edgetl.backbones.table import create_backbone
from edgetl_exporters import ethosu_tools, export, on_ethosu
from edgetl_exporters.elsewhere import signal_to_noise
from edgetl_exporters.embedded import epilogue, kernel_logits, write_head
from edgetl_exporters.ethosu_tools import run_kernels
from edgetl_exporters.graph import read_head
from edgetl_exporters.integer_graph import IntegerGraph, IntegerOperator, IntegerTensor
from edgetl_exporters.lowering import lowered
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import ExportData, Labelled, Model
from edgetl_exporters.on_ethosu import ACCELERATORS
from edgetl_exporters.report import Report
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_ethosu import quantizer
from edgetl_exporters.to_int8 import Plan
from edgetl_exporters.to_tflite import operators_in, to_tflite
from edgetl_exporters.vela import compile_for
from edgetl_runtime import ContractError
from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import EngineError
from edgetl_runtime.integer_core import Port
from edgetl_runtime.manifest import Variant
from edgetl_runtime.preprocess import Preprocess

ROOT = Path(__file__).parents[2]
U55, U85 = "ethos-u55-128-int8", "ethos-u85-256-int8"

with_tools = pytest.mark.skipif(
    not ethosu_tools.is_ready(),
    reason=f"needs Arm's compiler and reference kernels. Run: {ethosu_tools.COMMAND}",
)


def export_photographs(out: Path, model: Model | None = None, **changes: Any) -> Report:
    arguments: dict[str, Any] = {"variants": ["onnx-fp32", U55], "max_drop": 0.05} | changes
    return export(model or photograph_model(), photograph_data(), out, **arguments)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A bundle with two variants for firmware."""
    out = tmp_path_factory.mktemp("export") / "bundle"
    return out, export_photographs(out, variants=["onnx-fp32", U55, U85])


def variant_of(bundle: Path, name: str) -> Variant:
    with Bundle.open(bundle) as opened:
        return opened.manifest.variant(name)


@with_tools
@pytest.mark.parametrize("name", [U55, U85])
def test_the_manifest_says_what_firmware_must_know(exported: tuple[Path, Report], name: str) -> None:
    out, report = exported
    variant = variant_of(out, name)
    core = variant.core
    assert core is not None
    assert (variant.engine, variant.device, variant.batch) == ("ethos-u", "ethos-u", 1)
    assert core.accelerator == name.removesuffix("-int8")
    assert (core.input.shape, core.input.scale, core.input.zero_point) == ((1, 32, 32, 3), 1.0, -128)
    assert core.output.shape == (1, 1, 1, 32)
    assert core.npu_operators == core.operators >= 7
    assert 20 < core.sram_kib < 30
    assert 10_000 < core.cycles_estimate < 100_000
    assert core.compiler == "ethos-u-vela 5.2.0"
    assert variant.files == (variant.model, core.reference, core.head)
    row = next(row for row in report.variants if row.name == name)
    assert (row.core, row.p50_ms, row.slower_here) == (core, None, False)


@with_tools
def test_features_of_two_depths_are_joined_on_the_npu(tmp_path: Path) -> None:
    export_photographs(tmp_path / "bundle", deep_model())
    variant = variant_of(tmp_path / "bundle", U55)
    core = variant.core
    assert core is not None
    assert core.output.shape == (1, 1, 1, 48)
    assert core.npu_operators == core.operators
    kinds = {kind for kind, _ in operators_in((tmp_path / "bundle" / core.reference).read_bytes())}
    assert "CONCATENATION" in kinds
    assert variant.contract["agreement"] >= 0.9


@with_tools
def test_the_contract_names_the_kernels_and_no_hardware(exported: tuple[Path, Report]) -> None:
    found = variant_of(exported[0], U55).contract
    assert (
        found["measured_on"]
        == "reference kernels of tflite-micro 0.dev20261023182759: not yet run on hardware"
    )
    assert found["n"] == 70
    assert found["agreement"] >= 0.95
    assert found["agreement_interval_95"]["low"] >= 0.9
    assert found["signal_to_noise_db"] > 25
    assert (found["rung"], found["looks"]) == ("ethos-u", 1)


@with_tools
@pytest.mark.parametrize("name", [U55, U85])
def test_nothing_but_the_npu_s_operator_is_in_the_compiled_file(
    exported: tuple[Path, Report], name: str
) -> None:
    out = exported[0]
    variant = variant_of(out, name)
    assert variant.core is not None
    assert {kind for kind, _ in operators_in((out / variant.model).read_bytes())} == {"ethos-u"}
    kinds = {kind for kind, _ in operators_in((out / variant.core.reference).read_bytes())}
    assert kinds == {"PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "MEAN"}


@with_tools
def test_whoever_follows_the_manifest_gets_the_reference_logits(exported: tuple[Path, Report]) -> None:
    """As firmware does it: pixels less 128, the core, dequantize, the linear layer."""
    out = exported[0]
    variant = variant_of(out, U55)
    core = variant.core
    assert core is not None
    with Bundle.open(out) as opened:
        names = [case.pixels for case in opened.manifest.cases]
    pixels = np.stack([np.asarray(Image.open(out / name)) for name in names])
    outputs = run_kernels(out / core.reference, (pixels.astype(int) - 128).astype(np.int8), out.parent)
    head = np.load(out / core.head)
    features = core.output.scale * (outputs.astype(np.float64) - core.output.zero_point)
    logits = features @ head[:, :-1].T + head[:, -1]
    np.testing.assert_allclose(logits, np.load(out / variant.logits), atol=1e-4)


@with_tools
def test_equal_exports_give_equal_bytes(exported: tuple[Path, Report], tmp_path: Path) -> None:
    again = export_photographs(tmp_path / "again", variants=["onnx-fp32", U55, U85])
    assert again.bundle_id == exported[1].bundle_id


@with_tools
@pytest.mark.parametrize(("model", "least_db"), [(photograph_model, 35), (gated_model, 30)])
def test_the_kernels_answer_as_the_quantized_file(model: Any, least_db: float, tmp_path: Path) -> None:
    known, pixels = model(), photograph_data().verify.pixels
    file = _quantized(known, tmp_path)
    quantized = onnx.load(file)
    core = lowered(quantized, known.mean, known.std)
    (tmp_path / "core.tflite").write_bytes(to_tflite(core, "core"))
    write_head(*read_head(quantized), tmp_path / "head.npy")
    output = core.tensors[core.output]
    port = Port(output.shape, output.scales[0], output.zero_point)
    got = kernel_logits(tmp_path / "core.tflite", tmp_path / "head.npy", port, pixels)
    want = run_file(file, "onnxruntime", pixels).logits
    assert signal_to_noise(want, got) > least_db
    assert (want.argmax(axis=1) == got.argmax(axis=1)).mean() >= 0.98


@with_tools
@pytest.mark.parametrize("accelerator", ACCELERATORS.values(), ids=lambda one: one.name)
def test_gates_are_on_every_npu(accelerator: Any, tmp_path: Path) -> None:
    known = gated_model()
    core = lowered(onnx.load(_quantized(known, tmp_path)), known.mean, known.std)
    (tmp_path / "core.tflite").write_bytes(to_tflite(core, "core"))
    _, found = compile_for(ethosu_tools.vela, tmp_path / "core.tflite", accelerator, tmp_path / "out")
    assert (found.cpu_operators, found.npu_operators > 15) == (0, True)


@with_tools
@pytest.mark.parametrize("name", [U55, U85])
def test_an_operator_that_vela_leaves_to_the_cpu_is_refused(name: Any, tmp_path: Path) -> None:
    """A window of 257 is more than any Ethos-U has."""
    ends = {
        "x": IntegerTensor("x", (1, 300, 300, 3), (1.0,), -128),
        "y": IntegerTensor("y", (1, 44, 44, 3), (1.0,), -128),
    }
    settings = {"stride_h": 1, "stride_w": 1, "filter_h": 257, "filter_w": 257, "padding": 1}
    graph = IntegerGraph(ends, (IntegerOperator("MAX_POOL_2D", "p", ("x",), "y", settings),), "x", "y")
    (tmp_path / "core.tflite").write_bytes(to_tflite(graph, "core"))
    with pytest.raises(
        ContractError, match=r"Vela leaves 1 of 1 operators to the CPU of .*: MAX_POOL_2D 'y'\."
    ):
        compile_for(ethosu_tools.vela, tmp_path / "core.tflite", ACCELERATORS[name], tmp_path / "out")


def _leaving_to_the_cpu(monkeypatch: pytest.MonkeyPatch, operators: str) -> list[str]:
    """Let Vela, which returns 0 all the same, leave operators of these kinds to the CPU."""
    true, told = on_ethosu.vela, list[str]()

    def vela(arguments: Sequence[str]) -> str:
        told.append(true([*arguments, "--ignore-ops", operators]))
        return told[-1]

    monkeypatch.setattr(on_ethosu, "vela", vela)
    return told


@with_tools
def test_vela_s_success_with_an_operator_on_the_cpu_is_a_refusal_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _leaving_to_the_cpu(monkeypatch, "MEAN")
    message = (
        rf"{U55}: Vela leaves 1 of \d operators to the CPU of ethos-u55-128: MEAN '.*Nothing was written"
    )
    with pytest.raises(ContractError, match=message):
        export_photographs(tmp_path / "bundle")
    assert "CPU operators = 1" in told[0]
    assert list(tmp_path.iterdir()) == []


@with_tools
def test_what_is_not_whole_on_the_npu_may_be_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leaving_to_the_cpu(monkeypatch, "MEAN,CONV_2D,DEPTHWISE_CONV_2D,PAD")
    report = export_photographs(tmp_path / "bundle", on_miss="fp16")
    assert [row.name for row in report.variants] == ["onnx-fp32"]
    assert re.search(r"leaves 9 of 9 operators .* and 4 more", report.left_out[U55])


@with_tools
def test_a_changed_weight_fails_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The QDQ file stays right, and so is what the CPU says of it; only what goes to the device is wrong."""

    def changed(graph: IntegerGraph, name: str) -> bytes:
        layer = graph.operators[-2].inputs[1]
        values = graph.tensors[layer].values
        assert values is not None
        wrong = replace(graph.tensors[layer], values=np.ascontiguousarray(values[::-1]))
        return to_tflite(replace(graph, tensors={**graph.tensors, layer: wrong}), name)

    monkeypatch.setattr(on_ethosu, "to_tflite", changed)
    message = r"int8 misses its limit of 5 points: ethos-u: accuracy drops by [2-9]\d\.\d points"
    with pytest.raises(ContractError, match=message):
        export_photographs(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@with_tools
def test_a_head_that_is_solved_again_is_the_last_rung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_elsewhere, seen = on_ethosu.judged_elsewhere, list[int]()

    def once_against(*given: Any, **named: Any) -> Any:
        seen.append(1)
        found = judged_elsewhere(*given, **named)
        return found.against(["not this one"]) if len(seen) < 2 else found

    monkeypatch.setattr(on_ethosu, "judged_elsewhere", once_against)
    report = export_photographs(tmp_path / "bundle", solve_head=_ridge)
    assert [(row.rung, row.head, row.verified) for row in report.rungs] == [
        ("ethos-u", "float", False),
        ("ethos-u, head solved again", "resolved", True),
    ]
    variant = variant_of(tmp_path / "bundle", U55)
    assert (variant.head, variant.contract["looks"]) == ("resolved", 2)


@with_tools
@pytest.mark.slow
def test_efficientnet_lite0_is_whole_on_every_npu_and_keeps_its_answers(tmp_path: Path) -> None:
    size = 96
    backbone = create_backbone("efficientnet_lite0")
    data = ExportData(*(_larger(one, size) for one in (crops(105, 1, left=True), *_right_halves())))
    module = nn.Sequential(backbone.trunk(), nn.Linear(backbone.width, len(CLASSES))).eval()
    mean, std = backbone.native.mean, backbone.native.std
    model = Model("lite0", module, "single_label", CLASSES, Preprocess(size), mean, std)
    with torch.no_grad():
        x = (torch.from_numpy(data.train.pixels).permute(0, 3, 1, 2).float() / 255 - mean[0]) / std[0]
        features = module[0](x).numpy()
        weight, bias = _ridge(features, data.train.targets, features, data.train.targets)
        module[1].weight.copy_(torch.from_numpy(weight))
        module[1].bias.copy_(torch.from_numpy(bias))
    report = export(model, data, tmp_path / "bundle", variants=["onnx-fp32", *ACCELERATORS], max_drop=0.05)
    rows = [row for row in report.variants if row.core is not None]
    assert len(rows) == len(ACCELERATORS)
    for row in rows:
        assert row.core is not None
        assert row.core.npu_operators == row.core.operators > 50
        assert row.agreement >= 0.9


def test_without_the_tools_the_variant_is_refused_before_any_work_and_says_how_to_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ethosu_tools.VARIABLE, str(tmp_path / "tools"))
    message = r"ethos-u55-128-int8 is written after .* Run: python -m edgetl_exporters\.ethosu_tools"
    with pytest.raises(EngineError, match=message) as refused:
        export_photographs(tmp_path / "bundle")
    assert refused.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@with_tools
def test_the_command_of_the_page_leaves_tools_that_are_ready_as_they_are() -> None:
    page = (ROOT / "docs/quantization.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^```bash\n(.*)\n```$", page, re.MULTILINE)
    assert command == ethosu_tools.COMMAND
    before = sorted(ethosu_tools.folder().iterdir())
    subprocess.run([sys.executable, *command.split()[1:]], check=True)
    assert sorted(ethosu_tools.folder().iterdir()) == before


def test_tools_at_other_versions_are_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ethosu_tools.VARIABLE, str(tmp_path))
    assert not ethosu_tools.is_ready()
    (tmp_path / "edgetl-ready.txt").write_text(
        "".join(f"{pin}\n" for pin in ethosu_tools.PINS), encoding="utf-8"
    )
    assert ethosu_tools.is_ready()
    (tmp_path / "edgetl-ready.txt").write_text("ethos-u-vela==1.0\n", encoding="utf-8")
    assert not ethosu_tools.is_ready()


def test_the_tools_are_not_made_in_a_folder_that_holds_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    monkeypatch.setenv(ethosu_tools.VARIABLE, str(tmp_path))
    with pytest.raises(EngineError, match=r"holds something else. Set EDGETL_ETHOSU to another folder"):
        ethosu_tools.make()
    assert [one.name for one in tmp_path.iterdir()] == ["letter.txt"]


@with_tools
def test_a_tool_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    with pytest.raises(ContractError, match=r"Vela failed with \d+: .*Report this"):
        ethosu_tools.vela([str(tmp_path / "broken.tflite"), "--output-dir", str(tmp_path)])
    with pytest.raises(ContractError, match="The reference kernels failed with"):
        run_kernels(tmp_path / "broken.tflite", np.zeros((1, 4, 4, 3), np.int8), tmp_path)


def test_the_pins_of_the_tools_are_exact_and_have_their_licences() -> None:
    licences = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    pinned = dict(
        re.findall(r"^([a-z0-9-]+)==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    )
    for name, version in (pin.split("==") for pin in ethosu_tools.PINS):
        assert name in licences
        assert pinned.get(name, version) == version


def test_the_epilogue_dequantizes_and_applies_the_linear_layer() -> None:
    head = np.array([[1, 2, 10], [0, -1, 0]], np.float32)
    outputs = np.array([[-128, 0], [-126, 127]], np.float32)
    logits = epilogue(outputs, Port((1, 1, 1, 2), 0.5, -128), head)
    np.testing.assert_array_equal(logits, [[138, -64], [266, -127.5]])


def _quantized(model: Model, folder: Path) -> Path:
    source, out, images = folder / "model.onnx", folder / "quantized.onnx", photograph_data().train.pixels
    write_graph(model, source)
    plan, ranges = Plan("onnxruntime"), folder / "ranges.json"
    quantizer(model.mean, model.std)(source, out, plan=plan, images=images, ranges=ranges)
    return out


def _ridge(train: Any, train_targets: Any, choose: Any, choose_targets: Any) -> Any:
    """Return a linear head by least squares on the targets, for as many classes as there are photographs."""
    wanted = np.eye(len(CLASSES), dtype=np.float32)[train_targets]
    return solve_head(train, wanted, choose, choose_targets)


def _right_halves() -> tuple[Labelled, Labelled]:
    return photograph_data().choose, photograph_data().verify


def _larger(pictures: Labelled, size: int) -> Labelled:
    pixels = [np.asarray(Image.fromarray(one).resize((size, size))) for one in pictures.pixels]
    return replace(pictures, pixels=np.stack(pixels))
