"""What a manifest says of a variant for firmware, and that no engine here opens it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import edit_manifest, tiny_bundle, tiny_manifest, tiny_variant

from edgetl_runtime import Session
from edgetl_runtime.cli import main
from edgetl_runtime.engines import load_engine
from edgetl_runtime.errors import BundleError, EngineError
from edgetl_runtime.integer_core import IntegerCore, Port
from edgetl_runtime.manifest import Manifest, Variant

FILES = ("models/npu.tflite", "models/plain.tflite", "models/head.npy")
REFUSAL = (
    "Engine 'ethos-u' is for firmware: a microcontroller with an Arm Ethos-U runs it, by TensorFlow Lite"
)


def core(**changes: Any) -> IntegerCore:
    made = IntegerCore(
        reference=FILES[1],
        head=FILES[2],
        input=Port((1, 32, 32, 3), 1.0, -128),
        output=Port((1, 1, 1, 16), 0.0625, -128),
        accelerator="ethos-u55-128",
        system="Ethos_U55_High_End_Embedded",
        memory_mode="Shared_Sram",
        compiler="ethos-u-vela 5.2.0",
        operators=8,
        npu_operators=8,
        sram_kib=21.75,
        dram_kib=0,
        flash_kib=5.5,
        clock_hz=5e8,
        cycles_estimate=24_582,
    )
    return replace(made, **changes)


def firmware(**changes: Any) -> Variant:
    told: dict[str, Any] = {"engine": "ethos-u", "model": FILES[0], "files": FILES, "batch": 1}
    told |= {"device": "ethos-u", "precision": "int8", "name": "ethos-u55-128-int8", "core": core()}
    return replace(tiny_variant("onnxruntime"), **told | changes)


def bundle(path: Path, *others: Variant) -> Path:
    (path / "models").mkdir(parents=True)
    for name in FILES:
        (path / name).write_bytes(b"for firmware")
    return tiny_bundle(path, variants=(*others, firmware()))


def test_a_core_comes_back_equal_from_its_json() -> None:
    manifest = tiny_manifest(variants=(firmware(), tiny_variant("onnxruntime")))
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"npu_operators": 7}, "npu_operators must be all of its operators, at least one, got '7 of 8'"),
        ({"operators": 0, "npu_operators": 0}, "at least one, got '0 of 0'"),
        ({"sram_kib": -1.0}, "sram_kib must be a number, at least 0, got -1.0"),
        ({"cycles_estimate": -1}, "cycles_estimate must be a number, at least 0"),
        ({"clock_hz": float("inf")}, "clock_hz must be a number, at least 0"),
        ({"accelerator": "a\nb"}, "accelerator must be 1 to 100 letters"),
        ({"compiler": ""}, "compiler must be 1 to 100 letters"),
    ],
)
def test_an_impossible_core_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        core(**change)


@pytest.mark.parametrize(
    ("port", "message"),
    [
        (((), 1.0, 0), "Port.shape must be 1 to 4 numbers"),
        (((1, 0), 1.0, 0), "Port.shape must be 1 to 4 numbers"),
        (((1, 2**20 + 1), 1.0, 0), "Port.shape must be 1 to 4 numbers"),
        (((1,), 0.0, 0), "Port.scale must be a number above 0"),
        (((1,), 1.0, 128), "Port.zero_point must be -128 to 127"),
    ],
)
def test_an_impossible_port_is_refused(port: tuple[tuple[int, ...], float, int], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Port(*port)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(core=None), "core must be there for the engine 'ethos-u', and for no other"),
        (lambda v: v.update(engine="onnxruntime"), "core must be there for the engine 'ethos-u'"),
        (lambda v: v["core"].update(head="other.npy"), "core must name files of the variant"),
        (lambda v: v["core"].pop("system"), r"variants\[0\].core lacks 'system'"),
        (lambda v: v["core"].update(speed=1), r"core has unknown keys"),
        (lambda v: v["core"]["input"].update(shape=[1, 1.5]), r"core.input.shape must be whole numbers"),
        (lambda v: v["core"]["output"].pop("scale"), r"core.output lacks 'scale'"),
        (lambda v: v.update(core=[]), r"core must be an object"),
    ],
)
def test_a_manifest_with_a_wrong_core_is_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    value = json.loads(tiny_manifest(variants=(firmware(),)).to_json())
    change(value["variants"][0])
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(json.dumps(value))


@pytest.mark.parametrize(
    "how",
    [
        {"variant": "ethos-u55-128-int8"},
        {"device": "ethos-u"},
        {"variant": "ethos-u55-128-int8", "device": "ethos-u"},
    ],
)
def test_no_session_opens_what_is_for_firmware_and_says_what_to_do(
    tmp_path: Path, how: dict[str, str]
) -> None:
    made = bundle(tmp_path / "bundle", tiny_variant("onnxruntime"))
    with pytest.raises(EngineError, match=REFUSAL):
        Session.open(made, **how)  # type: ignore[arg-type]


def test_a_bundle_with_nothing_but_firmware_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=REFUSAL):
        Session.open(bundle(tmp_path / "bundle"))


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_beside_firmware_another_variant_is_opened(tmp_path: Path, device: str) -> None:
    made = bundle(tmp_path / "bundle", tiny_variant("onnxruntime"))
    with Session.open(made, device=device) as session:
        assert session.variant.name == "onnx-fp32"
        assert session.predict(np.zeros((40, 40, 3), np.uint8)).probabilities.shape == (3,)


def test_the_engine_of_firmware_is_none() -> None:
    with pytest.raises(EngineError, match=r"Build its files in as docs/quantization\.md says"):
        load_engine("ethos-u")


def test_changed_firmware_is_refused_like_any_other_file(tmp_path: Path) -> None:
    made = bundle(tmp_path / "bundle", tiny_variant("onnxruntime"))
    (made / FILES[0]).write_bytes(b"for Firmware")
    with pytest.raises(BundleError, match=r"models/npu\.tflite"):
        Session.open(made)


def test_info_tells_the_compiler_s_figures_and_calls_them_estimates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = bundle(tmp_path / "bundle", tiny_variant("onnxruntime"))
    assert main(["info", str(made)]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(
        number for number, line in enumerate(lines) if line.startswith("For firmware, as the compiler")
    )
    told = " ".join(lines[place : place + 3])
    assert "estimates; not yet run on hardware: ethos-u-vela 5.2.0 for Ethos_U55_High_End_Embedded" in told
    assert lines[-1].split() == ["ethos-u55-128-int8", "8", "of", "8", "22", "24,582", "500"]


def test_info_tells_nothing_of_firmware_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tiny_bundle(tmp_path / "bundle"))]) == 0
    assert "firmware" not in capsys.readouterr().out


def test_a_core_that_a_manifest_of_a_file_lacks_is_missed(tmp_path: Path) -> None:
    made = edit_manifest(bundle(tmp_path / "bundle"), lambda m: m["variants"][0].pop("core"))
    with pytest.raises(BundleError, match=r"variants\[0\] lacks 'core'"):
        Session.open(made)
