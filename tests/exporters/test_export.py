"""The whole way with a tiny network: torch to a bundle that a session opens and proves."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from exporter_factories import Quiet, fit_temperature, solve_head, tiny_data, tiny_model
from numpy.typing import NDArray

from edgetl_exporters import export, measure
from edgetl_exporters.floats import parity
from edgetl_exporters.graph import array, find_classifier, replaced
from edgetl_exporters.report import Report
from edgetl_exporters.to_int8 import quantize
from edgetl_runtime import (
    Bundle,
    ContractError,
    EngineError,
    InputError,
    ProofError,
    Session,
    SignatureError,
)
from edgetl_runtime.engines import load_engine
from edgetl_runtime.environment import read_environment
from edgetl_runtime.signature import PublicKey


def run_export(out: Path, **changes: Any) -> Report:
    arguments: dict[str, Any] = {
        "model": tiny_model(),
        "data": tiny_data(),
        "max_drop": 0.05,
        "solve_head": solve_head,
        "fit_temperature": fit_temperature,
        "provenance": {"made_by": "the tests"},
        "watcher": Quiet(),
    } | changes
    return export(arguments.pop("model"), arguments.pop("data"), out, **arguments)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("export") / "bundle"
    return out, run_export(out)


def test_every_variant_opens_proves_itself_and_answers_right(exported: tuple[Path, Report]) -> None:
    out, report = exported
    verify = tiny_data().verify
    for row in report.variants:
        with Session.open(out, variant=row.name, batch=3) as session:
            logits, probabilities = session.infer(verify.pixels)
            expected = np.exp(logits / session.variant.temperature)
            assert session.proof is not None
            assert session.proof.ok
            assert (logits.argmax(axis=1) == verify.targets).mean() == pytest.approx(
                row.accuracy.value, abs=0.03
            )
            assert probabilities == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-4)


def test_variants_are_in_order_of_preference(exported: tuple[Path, Report]) -> None:
    out, report = exported
    assert [row.name for row in report.variants] == [
        "openvino-int8",
        "onnx-int8",
        "openvino-fp16",
        "onnx-fp32",
    ]
    with Bundle.open(out) as bundle:
        assert bundle.id == report.bundle_id
        assert bundle.manifest.variant("onnx-fp32").temperature == 1.5
        assert bundle.manifest.variant("onnx-int8").temperature != 1.5
        assert bundle.manifest.variant("onnx-int8").contract["rung"] in [row.rung for row in report.rungs]


def test_the_report_has_a_row_for_each_rung_and_says_which_was_taken(exported: tuple[Path, Report]) -> None:
    rungs = exported[1].rungs
    assert [(row.rung, row.head) for row in rungs] == [("onnxruntime", "float")]
    assert [row.outcome for row in rungs].count("taken") == 1
    assert all(row.verified is None for row in rungs if row.outcome.startswith("not verified"))
    assert asdict(exported[1])["parity"].keys() == {"onnx-fp32", "openvino-fp32"}
    assert max(exported[1].parity.values()) < 1e-4


def test_two_exports_give_the_same_bundle(exported: tuple[Path, Report], tmp_path: Path) -> None:
    again = run_export(tmp_path / "again")
    files = {path.relative_to(exported[0]): path.read_bytes() for path in exported[0].rglob("*.*")}
    second = {
        path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*.*")
    }
    assert [name for name in files if files[name] != second.get(name)] == []
    assert again.bundle_id == exported[1].bundle_id


IN_A_PROCESS = """
import sys
from pathlib import Path
import torch
from exporter_factories import fit_temperature, solve_head, tiny_data, tiny_model
from edgetl_exporters import export, ladder, making
from edgetl_exporters.rungs import RUNGS

def resolved_alone(candidates, outcomes, most, true=ladder._presentable):
    return [one for one in true(candidates, outcomes, 1.0) if one.head == "resolved"]

model = tiny_model(module=torch.load(sys.argv[2], weights_only=False))
for number, rungs in enumerate((RUNGS[:1], RUNGS[2:3], RUNGS[2:])):
    making.climb = lambda givens: ladder.climb(givens, rungs)
    if number == 2:
        ladder._presentable = resolved_alone
    out = Path(sys.argv[1], str(number))
    settings = {"max_drop": 0.9, "solve_head": solve_head, "fit_temperature": fit_temperature}
    report = export(model, tiny_data(), out, **settings)
    print(report.rungs[-1].rung, report.bundle_id)
"""


@pytest.mark.slow
def test_another_process_with_other_hashes_and_threads_gives_the_same_bundles(tmp_path: Path) -> None:
    torch.save(tiny_model().module, tmp_path / "network.pt")

    def told(name: str, seed: str, threads: str) -> list[str]:
        (tmp_path / name).mkdir()
        paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        changed = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "PYTHONPATH": paths}
        command = [sys.executable, "-c", IN_A_PROCESS, str(tmp_path / name), str(tmp_path / "network.pt")]
        done = subprocess.run(command, env=os.environ | changed, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    first = told("first", "1", "1")
    assert [line.rpartition(" ")[0] for line in first] == ["onnxruntime", "nncf", "nncf, head solved again"]
    assert told("second", "2", "2") == first


def test_no_file_names_a_local_path(exported: tuple[Path, Report]) -> None:
    needles = [b"/tmp", b"/work", b"/home", b"site-packages", str(Path.cwd()).encode(), b"edgetl-export-"]
    for path in exported[0].rglob("*.*"):
        assert [needle for needle in needles if needle in path.read_bytes()] == [], path


def test_a_zip_holds_the_same_bundle(exported: tuple[Path, Report], tmp_path: Path) -> None:
    report = run_export(tmp_path / "bundle.zip")
    assert report.bundle_id == exported[1].bundle_id
    with Session.open(tmp_path / "bundle.zip") as session:
        assert session.variant.name == "openvino-int8"


def test_one_variant_is_enough(tmp_path: Path) -> None:
    report = run_export(tmp_path / "bundle", variants=["onnx-fp32"])
    assert [row.name for row in report.variants] == ["onnx-fp32"]
    assert report.rungs == ()


def test_an_unknown_variant_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"variants must be some of openvino-int8, .* got \['tflite'\]"):
        run_export(tmp_path / "bundle", variants=["tflite"])


def test_an_existing_place_is_refused_before_any_work(tmp_path: Path) -> None:
    watcher = Quiet()
    with pytest.raises(InputError, match="exists already"):
        run_export(tmp_path, watcher=watcher)
    assert watcher.phases == []


def saboteur(onnx_path: Path, out: Path, **how: Any) -> None:
    """A quantizer whose first range is absurdly wide: everything rounds to zero, no head can mend it."""
    quantize(onnx_path, out, **how)
    model = onnx.load(out)
    scale = next(node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear")
    onnx.save(replaced(model, {scale: array(model.graph, scale) * 1e6}), out)


def test_an_int8_that_collapses_is_refused_with_the_numbers_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(
        ContractError,
        match=r"onnxruntime: on the choosing .* accuracy drops by \d+\.\d points, 5\.0 allowed",
    ) as error:
        run_export(tmp_path / "bundle", quantize=saboteur)
    assert "head solved again: on the choosing pictures accuracy drops" in str(error.value)
    assert "nncf: on the choosing pictures accuracy drops" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_int8_is_left_out_aloud_when_that_is_the_policy(tmp_path: Path) -> None:
    watcher = Quiet()
    report = run_export(tmp_path / "bundle", quantize=saboteur, on_miss="fp16", watcher=watcher)
    assert [row.name for row in report.variants] == ["openvino-fp16", "onnx-fp32"]
    assert report.left_out.keys() == {"openvino-int8", "onnx-int8"}
    assert "int8 misses its limit of 5 points" in report.left_out["onnx-int8"]
    assert watcher.notes == [
        note for note in watcher.notes if note.startswith("Left out: openvino-int8, onnx-int8")
    ]


def test_a_graph_with_another_mean_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = parity.__globals__
    true = module["own_logits"]

    def with_another_mean(model: Any, pixels: NDArray[np.uint8]) -> Any:
        return true(replace(model, mean=(0.4, 0.4, 0.4)), pixels)

    monkeypatch.setitem(module, "own_logits", with_another_mean)
    with pytest.raises(
        ContractError, match="The exported graph is not the trained network: onnx-fp32 answers"
    ):
        run_export(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_swapped_head_is_refused_by_the_proof(exported: tuple[Path, Report], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(exported[0], folder)
    model = onnx.load(folder / "models/model.onnx")
    weight = find_classifier(model).weight
    onnx.save(replaced(model, {weight: array(model.graph, weight)[::-1]}), folder / "models/model.onnx")
    with Bundle.open(exported[0]) as bundle:
        manifest = bundle.manifest
    files = tuple(
        replace(entry, sha256=_sha256(folder / entry.path), bytes=(folder / entry.path).stat().st_size)
        for entry in manifest.files
    )
    (folder / "manifest.json").write_text(replace(manifest, files=files).to_json(), encoding="utf-8")
    with pytest.raises(ProofError, match="logits off by"):
        Session.open(folder, variant="onnx-fp32")


def test_pictures_of_several_labels_are_exported_with_sigmoids(tmp_path: Path) -> None:
    def several(labelled: Any) -> Any:
        return replace(labelled, targets=np.eye(3, dtype=np.float32)[labelled.targets])

    data = tiny_data()
    data = replace(data, train=several(data.train), choose=several(data.choose), verify=several(data.verify))
    report = run_export(tmp_path / "b", model=tiny_model(task="multi_label"), data=data, max_drop=0.3)
    assert {row.balanced_accuracy for row in report.variants} == {None}
    with Session.open(tmp_path / "b") as session:
        logits, probabilities = session.infer(data.verify.pixels)
        assert probabilities == pytest.approx(
            1 / (1 + np.exp(-logits / session.variant.temperature)), abs=1e-4
        )


def test_a_threshold_of_confidence_is_written_and_its_worth_measured(tmp_path: Path) -> None:
    report = run_export(tmp_path / "b", min_precision=0.8, variants=["openvino-int8", "onnx-fp32"])
    for row in report.variants:
        assert row.rejecting is not None
        with Session.open(tmp_path / "b", variant=row.name) as session:
            assert session.variant.reject_below == row.rejecting.below
            confidence = session.infer(tiny_data().verify.pixels)[1].max(axis=1)
        assert (confidence >= row.rejecting.below).sum() == row.rejecting.answered
        assert session.variant.contract["rejecting"]["wanted_precision"] == 0.8


def test_a_precision_that_nothing_promises_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"precision of 0\.999 .* at least 2,995 of them"):
        run_export(tmp_path / "b", min_precision=0.999, variants=["onnx-fp32"])
    assert list(tmp_path.iterdir()) == []


def test_a_module_whose_classes_are_in_another_order_is_refused(tmp_path: Path) -> None:
    data = tiny_data()
    swapped = {role: getattr(data, role) for role in ("train", "choose", "verify")}
    for role, found in swapped.items():
        swapped[role] = replace(found, targets=np.array([0, 2, 1])[found.targets])
    with pytest.raises(InputError, match="in another order than the scores: 'green' is answered 'blue'"):
        run_export(tmp_path / "b", data=replace(data, **swapped))
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_the_verifying_pictures_break_is_refused_before_int8(tmp_path: Path) -> None:
    data, watcher = tiny_data(), Quiet()
    wrong = replace(data.verify, targets=np.roll(data.verify.targets, 1))
    data, wanted = replace(data, verify=wrong), 0.8
    with pytest.raises(ContractError, match=r"break the promised precision: .*onnx-fp32: \d+ of \d+ answers"):
        run_export(tmp_path / "b", data=data, min_precision=wanted, watcher=watcher)
    assert [phase for phase in watcher.phases if phase.startswith("int8")] == []
    assert list(tmp_path.iterdir()) == []


def test_the_contract_names_the_pictures_that_changed_and_every_rung(tmp_path: Path) -> None:
    data = tiny_data()
    names = tuple(hashlib.sha256(picture.tobytes()).hexdigest() for picture in data.verify.pixels)
    data = replace(data, verify=replace(data.verify, sha256=names))
    report = run_export(tmp_path / "b", data=data, max_drop=0.2)
    with Bundle.open(tmp_path / "b") as bundle:
        contract = bundle.manifest.variant("onnx-int8").contract
    row = next(row for row in report.variants if row.name == "onnx-int8")
    assert contract["changed"]["count"] == row.changed == len(contract["changed"]["sha256"])
    assert set(contract["changed"]["sha256"]) <= set(names)
    assert [one["rung"] for one in contract["rungs"]] == [one.rung for one in report.rungs]
    assert 0 <= contract["calibration_error"]["after"] <= 1
    assert contract["weights_bits"] == 8
    assert contract["looks"] >= 1


def test_a_static_batch_is_in_every_file_and_runs(tmp_path: Path) -> None:
    run_export(tmp_path / "b", static_batch=2, max_drop=0.2)
    shape = onnx.load(tmp_path / "b/models/model.int8.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [2, 32, 32, 3]
    pixels = tiny_data().verify.pixels
    for name in ("openvino-int8", "onnx-int8", "openvino-fp16", "onnx-fp32"):
        with Session.open(tmp_path / "b", variant=name) as session:
            assert session.variant.batch == session.batch == 2
            assert session.infer(pixels[:5])[0].shape == (5, 3)
            np.testing.assert_allclose(session.infer(pixels[:1])[0], session.infer(pixels[:2])[0][:1])


def test_float16_halves_the_network_and_leaves_its_ends_in_float32(tmp_path: Path) -> None:
    report = run_export(tmp_path / "b", variants=["onnx-fp16", "onnx-fp32"])
    model = onnx.load(tmp_path / "b/models/model.fp16.onnx")
    onnx.checker.check_model(model, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    read = {node.op_type: kinds[node.input[1]] for node in layers}
    assert read == {"Conv": onnx.TensorProto.FLOAT16, "Gemm": onnx.TensorProto.FLOAT}
    assert [row.name for row in report.variants] == ["onnx-fp32", "onnx-fp16"]
    with Session.open(tmp_path / "b", variant="onnx-fp16") as session:
        assert (session.variant.precision, session.variant.execution) == ("fp16", "f16")
        logits, probabilities = session.infer(tiny_data().verify.pixels)
    scaled = np.exp(logits / session.variant.temperature)
    assert probabilities == pytest.approx(scaled / scaled.sum(axis=1, keepdims=True), abs=1e-6)


def test_bfloat16_is_a_variant_of_its_own_that_shares_the_file_of_fp16(tmp_path: Path) -> None:
    if not {"avx512_bf16", "amx_bf16"} & set(read_environment().flags):
        pytest.skip("this processor has no bf16")
    run_export(tmp_path / "b", variants=["openvino-bf16", "openvino-fp16"], max_drop=0.2)
    with Session.open(tmp_path / "b", variant="openvino-bf16") as session:
        assert (session.variant.precision, session.variant.execution) == ("fp16", "bf16")
        assert session.variant.files == session.manifest.variant("openvino-fp16").files
        rounded = session.infer(tiny_data().verify.pixels)[0]
    with Session.open(tmp_path / "b") as session:
        assert session.variant.name == "openvino-fp16"  # Whoever names none gets what every processor runs.
        assert 1e-4 < np.abs(session.infer(tiny_data().verify.pixels)[0] - rounded).max() < 1


def engine_in_bf16(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any] | None) -> None:
    """Make a processor that has no bf16, or whose bf16 changes the logits."""

    def load(name: str) -> Any:
        true = load_engine(name)

        class Engine(true):  # type: ignore[misc, valid-type]
            def __init__(self, model: Path, *, execution: str, **how: Any) -> None:
                if execution == "bf16" and change is None:
                    raise EngineError("This device executes in 'f32', not in 'bf16'; choose another variant.")
                super().__init__(model, execution="f32", **how)
                self.rounds = execution == "bf16"

            def run(self, images: Any) -> Any:
                logits, probabilities = super().run(images)
                return (change(logits) if self.rounds and change else logits), probabilities

        return Engine

    monkeypatch.setattr(measure, "load_engine", load)


def test_a_processor_without_bfloat16_leaves_that_variant_out_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_in_bf16(monkeypatch, None)
    watcher = Quiet()
    report = run_export(tmp_path / "b", variants=["openvino-bf16", "onnx-fp32"], watcher=watcher)
    assert [row.name for row in report.variants] == ["onnx-fp32"]
    assert report.left_out["openvino-bf16"].startswith("it cannot be measured here. This device executes in")
    assert watcher.notes == [f"Left out: openvino-bf16: {report.left_out['openvino-bf16']}"]
    with pytest.raises(ContractError, match="No wanted variant is left: openvino-bf16: it cannot be"):
        run_export(tmp_path / "c", variants=["openvino-bf16"])


def test_a_bfloat16_that_misses_is_refused_or_left_out_as_int8_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_in_bf16(monkeypatch, lambda logits: -logits)
    wanted: dict[str, Any] = {"variants": ["openvino-bf16", "onnx-fp32"]}
    with pytest.raises(ContractError, match="Variants miss the limit: openvino-bf16: accuracy drops by"):
        run_export(tmp_path / "b", **wanted)
    report = run_export(tmp_path / "b", on_miss="fp16", **wanted)
    assert [row.name for row in report.variants] == ["onnx-fp32"]
    assert report.left_out["openvino-bf16"].startswith("accuracy drops by")


def test_variants_for_an_npu_say_that_a_cpu_stood_in(tmp_path: Path) -> None:
    wanted = ["openvino-npu-int8", "openvino-npu-fp16", "openvino-fp32"]
    report = run_export(tmp_path / "b", variants=wanted, static_batch=1, max_drop=0.2)
    for row in report.variants[1:]:
        assert (row.elsewhere, row.p50_ms, row.slower_here) == (True, None, False)
        with Session.open(tmp_path / "b", variant=row.name) as session:
            assert (session.variant.execution, session.variant.batch) == ("f16", 1)
            assert session.variant.contract["measured_on"] == "a CPU as stand-in: not yet run on hardware"
    assert (report.variants[0].name, report.variants[0].elsewhere) == ("openvino-fp32", False)


def test_opset_processor_and_versions_are_recorded(exported: tuple[Path, Report]) -> None:
    with Bundle.open(exported[0]) as bundle:
        made = bundle.manifest.provenance["export"]
    assert made["opset"] == 20
    assert made["weights_for"] == "vnni"
    assert made["measured_on"][0] == platform.machine()
    assert {"onnx", "openvino", "nncf", "torch"} <= made["versions"].keys()


def test_a_bill_of_materials_lists_weights_pictures_and_tools(exported: tuple[Path, Report]) -> None:
    bill = json.loads((exported[0] / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert [one["type"] for one in bill["components"][:2]] == ["machine-learning-model", "data"]
    onnx_tool = next(one for one in bill["components"] if one["name"] == "onnx")
    assert onnx_tool["purl"] == f"pkg:pypi/onnx@{onnx.__version__}"
    assert onnx_tool["licenses"] == [{"license": {"name": "Apache-2.0"}}]
    assert {one["bom-ref"] for one in bill["components"]} == set(bill["dependencies"][0]["dependsOn"])


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_signed_bundle_opens_for_those_who_trust_its_key(tmp_path: Path, name: str) -> None:
    private = Ed25519PrivateKey.generate()
    key = tmp_path / "key.pem"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    run_export(tmp_path / name, variants=["onnx-fp32"], sign=key)
    trusted = PublicKey(private.public_key().public_bytes_raw())
    with Bundle.open(tmp_path / name, trust=[trusted]) as bundle:
        assert bundle.manifest.name == "colours"
    with pytest.raises(SignatureError):
        Bundle.open(tmp_path / name, trust=[PublicKey(bytes(range(32)))])


def test_a_key_that_cannot_sign_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key", encoding="utf-8")
    watcher = Quiet()
    with pytest.raises(InputError, match="not an unencrypted private key"):
        run_export(tmp_path / "b", sign=tmp_path / "key.pem", watcher=watcher)
    assert watcher.phases == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_precision": 1.0}, "min_precision must be above 0 and below 1, got 1.0"),
        ({"max_drop": 0.0}, "max_drop must be above 0 and at most 1, got 0.0"),
        ({"static_batch": 0}, "static_batch must be 1 to 4,096, got 0"),
        ({"static_batch": 5000}, "static_batch must be 1 to 4,096, got 5000"),
        ({"calibration": 0}, "calibration must be 1 picture or more, got 0; 100 are usual"),
        (
            {"min_precision": 0.9, "model": tiny_model(task="multi_label")},
            "min_precision is for pictures with one label each",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_export(tmp_path / "b", **changes)


def test_model_and_data_are_enough(tmp_path: Path) -> None:
    report = export(tiny_model(temperature=None), tiny_data(), tmp_path / "b", variants=["onnx-fp32"])
    assert report.variants[0].calibration_error is not None
    with Bundle.open(tmp_path / "b") as bundle:
        assert bundle.manifest.variant("onnx-fp32").temperature != 1.0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
