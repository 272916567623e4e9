"""The climb: cheap rungs first, stop at the first that keeps the contract, look seldom."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporter_factories import Quiet, fit_temperature, solve_head, tiny_data, tiny_model

from edgetl_exporters import ladder
from edgetl_exporters.calibration import calibration_pictures
from edgetl_exporters.candidate import Candidate, Climb, converted, quantized
from edgetl_exporters.floats import write_floats
from edgetl_exporters.graph import array, replaced
from edgetl_exporters.ladder import MOST_LOOKS, climb
from edgetl_exporters.measure import run_file
from edgetl_exporters.rungs import RUNGS, Rung
from edgetl_exporters.to_int8 import Plan, quantize
from edgetl_runtime.errors import ContractError


def givens(folder: Path, **changes: Any) -> Climb:
    """Everything that a climb takes, of the tiny model."""
    data = changes.pop("data", tiny_data())
    floats = write_floats(tiny_model(), data, folder, fit_temperature, None)
    arguments: dict[str, Any] = {
        "model": floats.model,
        "source": floats.onnx,
        "data": data,
        "reference": floats.judged,
        "limit": 0.05,
        "bits": 8,
        "images": calibration_pictures(data.train, changes.pop("calibration", 30)),
        "static_batch": None,
        "folder": folder,
        "quantize": quantize,
        "solve_head": solve_head,
        "fit_temperature": fit_temperature,
        "watcher": Quiet(),
    } | changes
    return Climb(**arguments)


def good(name: str) -> Rung:
    def make(given: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
        quantized(given, given.source, Plan("onnxruntime"), out)
        return Plan("onnxruntime")

    return Rung(name, make)


def broken(name: str) -> Rung:
    """A rung whose first activation rounds everything to zero."""

    def make(given: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
        quantized(given, given.source, Plan("onnxruntime"), out)
        model = onnx.load(out)
        scale = next(node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear")
        onnx.save(replaced(model, {scale: array(model.graph, scale) * 1e6}), out)
        return Plan("onnxruntime")

    return Rung(name, make)


def test_a_rung_that_passes_ends_the_climb(tmp_path: Path) -> None:
    watcher = Quiet()
    found = climb(givens(tmp_path, watcher=watcher), [good("first"), broken("never made")])
    assert found.taken is not None
    assert (found.taken.candidate.rung, found.taken.looks) == ("first", 1)
    assert [row.rung for row in found.rows] == ["first"]
    assert "int8: never made" not in watcher.phases


def test_what_misses_on_the_choosing_pictures_never_sees_the_verifying_ones(tmp_path: Path) -> None:
    watcher = Quiet()
    found = climb(givens(tmp_path, watcher=watcher), [broken("bad"), good("good")])
    assert found.taken is not None
    assert found.taken.candidate.rung == "good"
    assert found.taken.looks == 1
    assert [(row.rung, row.verified) for row in found.rows] == [("bad", None), ("good", True)]
    assert found.rows[0].outcome.startswith("on the choosing pictures accuracy drops by")
    assert [phase for phase in watcher.phases if "verify bad" in phase] == []


def failing(name: str) -> Rung:
    """A rung whose quantizer cannot read the graph."""

    def make(given: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
        model = onnx.load(given.source)
        model.graph.node.append(onnx.helper.make_node("Odd", ["images"], ["odd"], "odd"))
        onnx.save(model, given.folder / "odd.onnx")
        quantize(given.folder / "odd.onnx", out, plan=Plan("nncf"), images=given.images)
        raise AssertionError("an unknown operator was quantized")

    return Rung(name, make)


def test_a_quantizer_that_fails_costs_its_own_rung(tmp_path: Path) -> None:
    watcher = Quiet()
    found = climb(givens(tmp_path, watcher=watcher), [broken("bad"), failing("odd"), good("good")])
    assert found.taken is not None
    assert found.taken.candidate.rung == "good"
    assert [row.rung for row in found.rows] == ["bad", "good"]
    assert any(note.startswith("The rung 'odd' is left out: ") for note in watcher.notes)


def unopenable(name: str) -> Rung:
    """A rung whose file the engine does not open: there is no such device."""

    def make(given: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
        quantized(given, given.source, Plan("onnxruntime"), out)
        run_file(converted(out), "openvino", given.images, device="npu")
        raise AssertionError("a device that is not here has opened a file")

    return Rung(name, make)


def test_a_file_that_does_not_open_costs_its_own_rung(tmp_path: Path) -> None:
    watcher = Quiet()
    found = climb(givens(tmp_path, watcher=watcher), [unopenable("odd"), good("good")])
    assert found.taken is not None
    assert [row.rung for row in found.rows] == ["good"]
    assert any(note.startswith("The rung 'odd' is left out: ") for note in watcher.notes)


def test_without_any_int8_file_the_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"no int8 of this network: odd: .* Leave int8 out"):
        climb(givens(tmp_path), [failing("odd"), *(rung for rung in RUNGS if rung.starts_from)])


def test_the_verifying_pictures_are_looked_at_a_few_times_only(tmp_path: Path) -> None:
    data = tiny_data()
    swapped = np.roll(data.verify.targets, 1)
    given = givens(tmp_path)
    # A float model that is right on every verifying picture, beside which every candidate loses.
    reference = given.reference[1]
    perfect = type(reference)(
        **{
            **{name: getattr(reference, name) for name in reference.__slots__},
            "correct": np.ones(len(swapped), bool),
            "decided": data.verify.targets,
        }
    )
    wrong = type(data.verify)(data.verify.pixels, swapped)
    given = givens(
        tmp_path, data=type(data)(data.train, data.choose, wrong), reference=(given.reference[0], perfect)
    )
    found = climb(given, [good(f"rung {number}") for number in range(6)])
    assert found.taken is None
    assert [row.verified for row in found.rows] == [False] * MOST_LOOKS


@pytest.fixture
def nothing_is_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rungs are climbed."""
    monkeypatch.setattr(ladder, "_presentable", lambda *given: [])


@pytest.mark.usefixtures("nothing_is_good_enough")
def test_rungs_that_need_somebody_are_left_out_without_them(tmp_path: Path) -> None:
    found = climb(givens(tmp_path, solve_head=None))
    assert found.taken is None
    assert [row.rung for row in found.rows] == ["onnxruntime", "nncf"]


@pytest.mark.usefixtures("nothing_is_good_enough")
def test_each_quantizer_has_its_head_solved_on_its_own_features(tmp_path: Path) -> None:
    found = climb(givens(tmp_path))
    assert [row.rung for row in found.rows] == [rung.name for rung in RUNGS]
    files = [onnx.load(tmp_path / f"rung-{number}.onnx") for number in range(4)]
    steps = [sorted(s.name for s in file.graph.initializer if "scale" in s.name) for file in files]
    assert steps[0] == steps[1] != steps[2] == steps[3]


def test_what_passes_with_less_room_than_the_first_rung_needs_is_verified_when_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "ROOM", -1.0)  # No candidate has so much.
    found = climb(givens(tmp_path, solve_head=None), [good("first"), failing("odd")])
    assert found.taken is not None
    assert (found.taken.candidate.rung, found.taken.looks) == ("first", 1)


@pytest.mark.parametrize("name", [rung.name for rung in RUNGS if rung.head == "float"])
def test_every_rung_makes_a_file_that_both_engines_run(tmp_path: Path, name: str) -> None:
    rung = next(rung for rung in RUNGS if rung.name == name)
    found = climb(givens(tmp_path, limit=0.5), [rung])
    assert found.taken is not None
    assert found.taken.candidate.rung == name
    assert found.taken.files.keys() == {"openvino", "onnxruntime"}


@pytest.mark.parametrize("quantizer", ["onnxruntime", "nncf"])
def test_seven_bits_leave_half_the_range_of_the_weights(tmp_path: Path, quantizer: Any) -> None:
    given = givens(tmp_path, bits=7)
    quantized(given, given.source, Plan(quantizer, 7), tmp_path / "out.onnx")
    model = onnx.load(tmp_path / "out.onnx")
    weights = [
        array(model.graph, node.input[0])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in {t.name for t in model.graph.initializer}
    ]
    filters = [one for one in weights if one.dtype == np.int8 and one.ndim == 4 and one.shape[1] > 1]
    assert len(filters) == 2
    assert all(np.abs(one.astype(int)).max() == 64 for one in filters)


def test_a_quantized_classifier_is_another_file_than_one_in_float(tmp_path: Path) -> None:
    given = givens(tmp_path)
    for name, whole in (("int8", False), ("float", True)):
        plan = Plan("onnxruntime", float_classifier=whole)
        quantized(given, given.source, plan, tmp_path / f"{name}.onnx")

    def reads(name: str) -> str:
        model = onnx.load(tmp_path / f"{name}.onnx")
        gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
        producers = {out: node.op_type for node in model.graph.node for out in node.output}
        return producers.get(gemm.input[1], "weights")

    assert (reads("int8"), reads("float")) == ("DequantizeLinear", "weights")
