"""The demo: on colours that pass for solar cells it does the whole job, and it judges receipts as it says."""

import json
from dataclasses import replace
from pathlib import Path
from shlex import split

import pytest
from edgetl_factories import Diary, colour_folder
from receipt_factories import flipped

from edgetl import demo
from edgetl.dataset import load_dataset, write_csv
from edgetl.demo import judge, run_demo
from edgetl.recipe import Recipe
from edgetl.run import read_run
from edgetl_runtime.metrics import Figure
from edgetl_runtime.receipt import Receipt


def measured(receipt: Receipt, variant: str) -> Receipt:
    names = ("accuracy", "balanced_accuracy", "auc")
    return replace(
        receipt, variant=variant, figures={name: Figure(name, 0.8, 0.7, 0.9, 1000) for name in names}
    )


def receipts(lost: int, gained: int) -> dict[str, Receipt]:
    before, after = flipped(lost, gained, both=900 - lost - gained, neither=100)
    return {"onnx-fp32": measured(before, "onnx-fp32"), "openvino-int8": measured(after, "openvino-int8")}


def test_too_few_pictures_are_no_failure_of_the_demo() -> None:
    found = judge(receipts(lost=12, gained=10), Path("demo"))
    assert (found.strict.outcome, found.verdict.outcome, found.exit_code) == ("INCONCLUSIVE", "PASS", 0)
    assert found.verdict.margin == 0.015  # 1,000 pictures with so many flips certify 1.17 points.
    assert "At 0.5 points: INCONCLUSIVE" in found.text


def test_a_regression_is() -> None:
    found = judge(receipts(lost=200, gained=0), Path("demo"))
    assert (found.verdict.outcome, found.exit_code) == ("FAIL", 1)


def test_the_facts_hold_every_figure_of_every_variant() -> None:
    facts = json.loads(json.dumps(judge(receipts(5, 5), Path("demo")).facts()))
    assert sorted(facts["figures"]) == ["onnx-fp32", "openvino-int8"]
    assert all(
        sorted(found) == ["accuracy", "auc", "balanced_accuracy"] for found in facts["figures"].values()
    )
    assert [verdict["margin"] for verdict in facts["verdicts"]] == [0.005, 0.01]


def test_the_next_command_can_be_typed_whatever_the_folder_is_called() -> None:
    last = judge(receipts(5, 5), Path("my demo")).text.splitlines()[-1]
    assert split(last)[:5] == [
        "Next:",
        "edgetl",
        "check",
        "my demo/receipts/onnx-fp32.json",
        "my demo/receipts/openvino-int8.json",
    ]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put coloured squares where the demo's list of solar cells would be."""
    pictures = colour_folder(tmp_path / "cells", 60, {"red": "defective", "green": "functional"})
    for blue in (pictures / "blue").iterdir():
        blue.unlink()
    (pictures / "blue").rmdir()
    write_csv(load_dataset(pictures), tmp_path / "demo" / "solar-cells.csv")
    monkeypatch.setattr(demo, "RECIPE", Recipe(size=64, views="none", unfreeze=()))
    return tmp_path / "demo"


def test_the_whole_job_leaves_a_run_a_bundle_and_receipts(small: Path) -> None:
    found = run_demo(small, Diary())
    assert found.exit_code == 0
    names = {"onnx-fp32", "onnx-int8", "openvino-fp16", "openvino-int8"}
    assert {path.stem for path in (small / "receipts").iterdir()} == names == set(found.receipts)
    assert "defective" in read_run(small / "run").classes
    diary = Diary()
    assert run_demo(small, diary).verdict.outcome == found.verdict.outcome
    assert [note.split(":")[0] for note in diary.notes if note.startswith("Using")] == [
        "Using the run that is there",
        "Using the bundle that is there",
    ]


def test_after_ctrl_c_the_demo_stops_and_the_same_call_goes_on(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = demo.train

    def interrupted(*given: object, **named: object) -> object:
        return replace(trained(*given, **named), interrupted=True)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_demo(small, Diary())
    assert not (small / "bundle").exists()
