"""What a simulator answers counts; how long it takes is told nowhere. Tested without a simulator."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from receipt_factories import tiny_predictions, tiny_receipt
from tiny_bundle import tiny_bundle, tiny_variant, write_colour

from edgetl_runtime.benching import bench
from edgetl_runtime.commands import Where, run_bench, run_validate
from edgetl_runtime.engines.ort import OrtEngine
from edgetl_runtime.errors import EngineError, ReceiptError
from edgetl_runtime.fleet import compare_fleet
from edgetl_runtime.gating import gate
from edgetl_runtime.presentation import render_fleet, render_receipt
from edgetl_runtime.receipt import Receipt
from edgetl_runtime.rules import Limits
from edgetl_runtime.session import Session
from edgetl_runtime.simulated import as_simulated, is_simulated


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give ONNX Runtime a device "toy" that is a simulator; the CPU does its work."""
    make = OrtEngine.__init__

    def opened(self: OrtEngine, model: Path, *, device: str, **settings: Any) -> None:
        make(self, model, device="cpu" if device == "toy" else device, **settings)
        if device == "toy":
            self.executed_device = as_simulated("toy")

    devices = {"toy": as_simulated("ToyExecutionProvider"), "cpu": "CPUExecutionProvider"}
    monkeypatch.setattr(OrtEngine, "__init__", opened)
    monkeypatch.setattr(OrtEngine, "devices", classmethod(lambda cls: devices))


def toy_bundle(path: Path) -> Path:
    """A bundle with a variant for the toy alone, and one for any device."""
    toy = tiny_variant("onnxruntime", name="toy-fp32", device="toy")
    return tiny_bundle(path, variants=(tiny_variant("onnxruntime"), toy))


def simulated_receipt(**changes: Any) -> Receipt:
    receipt = tiny_receipt(tiny_predictions([0, 1, 1], [0, 1, 0]))
    return replace(receipt, **({"device": as_simulated("toy"), "latency": {}} | changes))


def test_a_simulator_is_known_by_the_name_of_its_device() -> None:
    assert as_simulated("qnn") == "qnn (simulated)"
    assert is_simulated("qnn (simulated)")
    assert not is_simulated("qnn")


def test_the_receipt_of_a_simulator_has_figures_and_no_times(tmp_path: Path, simulator: None) -> None:
    bundle = toy_bundle(tmp_path / "bundle")
    write_colour(tmp_path / "data/red/0.png", "red")
    for colour in ("green", "blue"):
        write_colour(tmp_path / f"data/{colour}/1.png", colour, 1)
    out = tmp_path / "receipt.json"
    receipt = run_validate(bundle, tmp_path / "data", where=Where(device="toy"), out=out)
    assert (receipt.variant, receipt.device) == ("toy-fp32", "toy (simulated)")
    assert receipt.figures["accuracy"].value == 1
    assert (receipt.latency, receipt.performance) == ({}, None)
    assert Receipt.read(out).latency == {}
    text = render_receipt(receipt)
    assert "toy-fp32 on toy (simulated): 3 pictures" in text
    assert "simulated: no times." in text
    assert "ms" not in text


def test_a_receipt_of_a_simulator_that_tells_times_is_refused() -> None:
    times = tiny_receipt(tiny_predictions([0], [0])).latency
    message = r"a receipt of 'toy \(simulated\)' must tell no times, got \['preprocess', 'infer', 'total'\]"
    with pytest.raises(ReceiptError, match=message):
        simulated_receipt(latency=times)


def test_the_gate_compares_answers_of_a_simulator_and_refuses_to_compare_its_times() -> None:
    before, after = tiny_receipt(tiny_predictions([0, 1, 1], [0, 1, 0])), simulated_receipt()
    assert gate(before, after, margin=0.5).lost == 0
    with pytest.raises(ReceiptError, match=r"'toy \(simulated\)' is simulated: no times\. Leave the limit"):
        gate(before, after, margin=0.5, limits=Limits(latency_ratio=1.5))


def test_a_fleet_shows_no_time_of_a_simulator() -> None:
    fleet = compare_fleet([simulated_receipt(), simulated_receipt()], ["a", "b"])
    assert [device.p50_ms for device in fleet.devices] == [None, None]
    assert render_fleet(fleet).splitlines()[4].endswith(" -")


def test_bench_times_no_simulator(tmp_path: Path, simulator: None) -> None:
    bundle, notes = toy_bundle(tmp_path / "bundle"), list[str]()
    message = r"toy-fp32: Variant 'toy-fp32' on 'toy \(simulated\)': simulated: no times"
    with pytest.raises(EngineError, match=message):
        run_bench(bundle, where=Where(device="toy"), rounds=1, notify=notes.append)
    assert len(notes) == 2
    with (
        Session.open(bundle, device="toy") as session,
        pytest.raises(EngineError, match="simulated: no times"),
    ):
        bench([session], b"")


def test_auto_never_chooses_a_simulator(tmp_path: Path, simulator: None) -> None:
    bundle = toy_bundle(tmp_path / "bundle")
    with Session.open(bundle, device="auto") as session:
        assert session.choice is not None
        assert list(session.choice.times_ms) == ["onnx-fp32 on cpu"]
    message = "toy-fp32 on toy: simulated: no times, so never chosen. Name device='toy'."
    with pytest.raises(EngineError, match=message):
        Session.open(bundle, variant="toy-fp32", device="auto")


def test_a_variant_made_for_a_device_comes_first_there_and_is_opened_nowhere_else(
    tmp_path: Path, simulator: None
) -> None:
    bundle = toy_bundle(tmp_path / "bundle")
    with Session.open(bundle, device="toy") as session:
        assert (session.variant.name, session.device) == ("toy-fp32", "toy (simulated)")
        assert session.proof is not None
        assert session.proof.ok
    with Session.open(bundle) as session:
        assert session.variant.name == "onnx-fp32"
    message = "Variant 'toy-fp32' was made for 'toy' and measured there, got the device 'cpu'. Name"
    with pytest.raises(EngineError, match=message):
        Session.open(bundle, variant="toy-fp32")


def test_a_bundle_for_another_device_says_what_it_is_for(tmp_path: Path) -> None:
    toy = tiny_variant("onnxruntime", device="toy")
    bundle = tiny_bundle(tmp_path / "bundle", variants=(toy,))
    with pytest.raises(EngineError, match="no variant for the device 'cpu'; it has onnx-fp32 for 'toy'"):
        Session.open(bundle)
