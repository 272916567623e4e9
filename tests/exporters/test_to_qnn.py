"""int8 for Qualcomm's Hexagon: the file itself, and what becomes of it on the simulator."""

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper
from photographs import CLASSES, crops, photograph_data, photograph_model
from PIL import Image

from edgetl_exporters import export, on_qnn
from edgetl_exporters.elsewhere import signal_to_noise
from edgetl_exporters.floats import write_floats
from edgetl_exporters.graph import array
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import ExportData, Floats
from edgetl_exporters.quiet import quiet
from edgetl_exporters.report import Report
from edgetl_exporters.to_int8 import Plan, Reader
from edgetl_exporters.to_qnn import quantizer, temperature_of, tempered, with_dequantized_pixels
from edgetl_runtime import ContractError, Session
from edgetl_runtime.engines import qnn
from edgetl_runtime.errors import EngineError, InputError
from edgetl_runtime.manifest import Variant
from edgetl_runtime.validation import validate

PLAN = Plan("onnxruntime")
SIMULATED = "qnn (simulated)"

on_simulator = pytest.mark.skipif(
    find_spec("onnxruntime_qnn") is None or not qnn.is_simulator(),
    reason="needs onnxruntime-qnn with its simulator: an x86 processor, and pip install onnxruntime-qnn",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float graph."""
    folder = tmp_path_factory.mktemp("float")
    return write_floats(photograph_model(), photograph_data(), folder, lambda *_: 1.5, None).onnx


@pytest.fixture(scope="module")
def files(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The quantized graphs, by the bits of their activations."""
    folder, images = tmp_path_factory.mktemp("quantized"), photograph_data().train.pixels
    found = {8: folder / "8.onnx", 16: folder / "16.onnx"}
    quantizer(8)(source, found[8], plan=PLAN, images=images, ranges=folder / "ranges.json")
    quantizer(16)(source, found[16], plan=PLAN, images=images, ranges=folder / "ranges.json")
    return found


def export_photographs(out: Path, data: ExportData | None = None, **changes: Any) -> Report:
    arguments: dict[str, Any] = {"variants": ["onnx-fp32", "qnn-int8"], "max_drop": 0.05} | changes
    return export(photograph_model(), data or photograph_data(), out, **arguments)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A bundle whose variant for the Hexagon was verified on the simulator."""
    out = tmp_path_factory.mktemp("export") / "bundle"
    return out, export_photographs(out)


def logits_of(file: Path, device: str = "cpu") -> Floats:
    return run_file(file, "onnxruntime", photograph_data().verify.pixels, device=device).logits


def zero_points(model: ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    names = {node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    return {name: array(model.graph, name) for name in names}


@pytest.mark.parametrize("bits", [8, 16])
def test_every_number_of_the_file_is_whole_and_no_activation_symmetric(
    files: dict[int, Path], bits: int
) -> None:
    model = onnx.load(files[bits])
    assert "Cast" not in {node.op_type for node in model.graph.node}
    found = zero_points(model)
    ends = {f"{name}_zero_point" for name in ("logits", "probabilities")}
    inside = {points.dtype.name for name, points in found.items() if name not in ends}
    assert inside == ({"uint8", "uint16"} if bits == 8 else {"uint16"})
    assert {found[name].dtype.name for name in ends} == {"uint16"}
    # A bounded activation uses the whole range from zero on, where a symmetric one would use half of it.
    assert sum(int(points) == 0 for name, points in found.items() if name not in ends) >= 4
    weights = [t for t in model.graph.initializer if t.name.endswith("weight_quantized")]
    assert {numpy_helper.to_array(one).dtype.name for one in weights} == {"int8"}


def test_the_same_pictures_give_the_same_bytes(files: dict[int, Path], source: Path, tmp_path: Path) -> None:
    images = photograph_data().train.pixels
    for name in ("first", "again"):
        out, ranges = tmp_path / f"{name}.onnx", tmp_path / "ranges.json"
        quantizer(8)(source, out, plan=PLAN, images=images, ranges=ranges)
        assert out.read_bytes() == files[8].read_bytes()


@pytest.mark.parametrize("bits", [8, 16])
def test_the_cpu_answers_as_in_float(files: dict[int, Path], source: Path, bits: int) -> None:
    wanted, got = logits_of(source), logits_of(files[bits])
    assert (wanted.argmax(axis=1) == got.argmax(axis=1)).mean() >= 0.95
    assert signal_to_noise(wanted, got) > 25


def test_logits_larger_than_those_that_calibrated_are_not_cut_off(source: Path, tmp_path: Path) -> None:
    few = photograph_data().train.pixels[:1]
    out = tmp_path / "few.onnx"
    quantizer(16)(source, out, plan=PLAN, images=few, ranges=tmp_path / "ranges.json")
    calibrating, all_of_them = np.abs(run_file(source, "onnxruntime", few).logits).max(), logits_of(source)
    largest = int(np.abs(all_of_them).max(axis=1).argmax())
    assert np.abs(all_of_them).max() > 1.2 * calibrating
    assert np.abs(logits_of(out)[largest]).max() > 1.1 * calibrating


def test_another_temperature_changes_confidence_and_no_logit(files: dict[int, Path], tmp_path: Path) -> None:
    before = onnx.load(files[8])
    assert temperature_of(before) == pytest.approx(1.5, abs=1e-4)
    after, file = tempered(before, 0.7), tmp_path / "tempered.onnx"
    assert temperature_of(after) == pytest.approx(0.7, abs=1e-4)
    onnx.save(after, file)
    np.testing.assert_array_equal(logits_of(file), logits_of(files[8]))
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    feed = {"images": photograph_data().verify.pixels[:8]}
    logits, probabilities = session.run(["logits", "probabilities"], feed)
    powers = np.exp(logits / 0.7)
    np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), atol=5e-4)


def test_a_graph_that_does_not_begin_with_a_cast_is_refused(files: dict[int, Path]) -> None:
    with pytest.raises(ContractError, match="The graph must cast its pixels, got 'DequantizeLinear'"):
        with_dequantized_pixels(onnx.load(files[8]))


def test_too_few_pictures_to_verify_on_are_refused_before_any_work(tmp_path: Path) -> None:
    if find_spec("onnxruntime_qnn") is None:
        pytest.skip("needs onnxruntime-qnn, without which the export is refused earlier")
    few = replace(photograph_data(), verify=crops(35, 3, left=False))
    with pytest.raises(InputError, match="qnn-int8 is verified on at least 40 pictures, got 35"):
        export_photographs(tmp_path / "bundle", few)


def test_without_a_simulator_the_variant_is_refused_and_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineError, match=r"neither is here\. Run: pip install onnxruntime-qnn"):
        export_photographs(tmp_path / "bundle")


@on_simulator
def test_the_contract_records_what_the_simulator_answered(exported: tuple[Path, Report]) -> None:
    out, report = exported
    with Session.open(out, variant="qnn-int8", device="qnn") as session:
        variant: Variant = session.variant
    assert (variant.device, variant.batch, variant.engine) == ("qnn", 1, "onnxruntime")
    found = variant.contract
    assert found["measured_on"] == SIMULATED
    assert found["n"] == 70
    assert found["agreement"] >= 0.95
    assert found["signal_to_noise_db"] > 25
    assert found["rung"] == "qnn, 8-bit activations"
    row = next(row for row in report.variants if row.name == "qnn-int8")
    assert (row.n, row.p50_ms, row.slower_here) == (70, None, False)
    assert row.size_bytes < 20_000


@on_simulator
def test_the_bundle_opens_proves_itself_and_validates_on_the_simulator(
    exported: tuple[Path, Report], tmp_path: Path
) -> None:
    pictures = crops(42, 4, left=False)
    for place, (picture, target) in enumerate(zip(pictures.pixels, pictures.targets, strict=True)):
        folder = tmp_path / "data" / CLASSES[target]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{place}.png")
    with Session.open(exported[0], device="qnn") as session:
        assert (session.variant.name, session.device) == ("qnn-int8", SIMULATED)
        assert session.proof is not None
        assert session.proof.ok
        on_qnn_device = validate(session, tmp_path / "data")
    with Session.open(exported[0]) as session:
        on_cpu = validate(session, tmp_path / "data")
    assert (on_qnn_device.device, on_qnn_device.latency) == (SIMULATED, {})
    same = on_qnn_device.predictions.predicted == on_cpu.predictions.predicted
    assert len(same) >= 40
    assert same.mean() >= 0.95


def symmetric_per_tensor(onnx_path: Path, out: Path, *, plan: Plan, images: Any, ranges: Path) -> None:
    """What many tools call int8: every tensor symmetric, with one step for all of it."""
    from onnxruntime.quantization import QuantType, quantize_static

    model = with_dequantized_pixels(onnx.load(onnx_path))
    with quiet():
        quantize_static(
            model,
            out,
            Reader(images),
            op_types_to_quantize=sorted({node.op_type for node in model.graph.node} - {"DequantizeLinear"}),
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True},
        )


@on_simulator
def test_a_symmetric_file_that_the_cpu_runs_right_is_refused_by_what_the_simulator_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_qnn, "quantizer", lambda activations: symmetric_per_tensor)
    kept: list[on_qnn.Elsewhere] = []
    on_device = on_qnn._on_device
    monkeypatch.setattr(on_qnn, "_on_device", lambda *a, **k: kept.append(on_device(*a, **k)) or kept[-1])
    message = r"activations: accuracy drops by [3-9]\d\.\d points.*dB of signal to noise, 10 wanted"
    with pytest.raises(ContractError, match=message):
        export_photographs(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
    for one in kept:  # Both rungs made this very file.
        assert one.candidate.comparison.passes  # On the CPU.
        agreement = (one.judged.decided == one.reference.decided).mean()
        assert agreement < 0.5
        assert one.signal_db < 0


@on_simulator
def test_what_misses_with_activations_of_8_bits_is_tried_with_16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {8: symmetric_per_tensor, 16: quantizer(16)}
    monkeypatch.setattr(on_qnn, "quantizer", made.__getitem__)
    report = export_photographs(tmp_path / "bundle")
    assert [(row.rung, row.passes, row.verified) for row in report.rungs] == [
        ("qnn, 8-bit activations", True, False),
        ("qnn, 16-bit activations", True, True),
    ]
    with Session.open(tmp_path / "bundle", device="qnn") as session:
        assert session.variant.contract["looks"] == 2


@on_simulator
def test_a_binary_that_answers_otherwise_once_it_was_read_back_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = on_qnn.run_file

    def twisted(path: Path, *given: Any, cache: Path | None = None, **how: Any) -> Any:
        again = cache is not None and any(cache.iterdir())
        found = true(path, *given, cache=cache, **how)
        return replace(found, logits=found.logits + np.float32(1e-3)) if again else found

    monkeypatch.setattr(on_qnn, "run_file", twisted)
    report = export_photographs(tmp_path / "bundle", on_miss="fp16")
    assert [row.name for row in report.variants] == ["onnx-fp32"]
    assert "activations: the context binary, read back, gives other" in report.left_out["qnn-int8"]


@on_simulator
def test_a_graph_that_the_device_cannot_run_whole_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_stranger(onnx_path: Path, out: Path, **how: Any) -> None:
        """Add a node that changes nothing, and that no Hexagon knows."""
        quantizer(8)(onnx_path, out, **how)
        model = onnx.load(out)
        last = next(node for node in model.graph.node if "probabilities" in node.output)
        last.output[0] = "certain"
        shrink = onnx.helper.make_node("Shrink", ["certain"], ["probabilities"], lambd=0.0, bias=0.0)
        model.graph.node.append(shrink)
        onnx.save(model, out)

    monkeypatch.setattr(on_qnn, "quantizer", lambda activations: with_a_stranger)
    report = export_photographs(tmp_path / "bundle", on_miss="fp16")
    assert [row.name for row in report.variants] == ["onnx-fp32"]
    assert "graph nodes that are assigned to the default CPU EP" in report.left_out["qnn-int8"]
    assert [(row.passes, row.verified) for row in report.rungs] == [(True, False), (True, False)]
