import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from receipt_factories import tiny_hashes, tiny_predictions, tiny_receipt

from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.metrics import Figure
from edgetl_runtime.performance import Block, Performance
from edgetl_runtime.pictures import Unreadable
from edgetl_runtime.receipt import Latency, Receipt


def single_label():
    shares = np.array([[0.75, 0.25], [0.4, 0.6], [0.123456, 0.876544]])
    return tiny_receipt(
        tiny_predictions([0, 0, 1], [0, 1, 1], confidence=shares.max(axis=1), probabilities=shares),
        per_class={"cat": Figure("recall", 0.5, 0.1, 0.9, 2)},
        errors=[(Path("cat/broken.jpg"), "is truncated")],
    )


def multi_label():
    target = np.array([[1, 0, 1], [0, 0, 0]], bool)
    predicted = np.array([[1, 0, 1], [0, 1, 0]], bool)
    return tiny_receipt(tiny_predictions(target, predicted, classes=3), classes=("cat", "dog", "fox"))


def as_json(receipt):
    return json.loads(receipt.to_json())


def read_back(value):
    return Receipt.from_json(json.dumps(value), where="r.json")


def test_a_receipt_comes_back_from_its_file_as_it_was(tmp_path):
    for receipt in (single_label(), multi_label()):
        receipt.write(tmp_path / "r.json")
        back = Receipt.read(tmp_path / "r.json")
        assert back.to_json() == receipt.to_json()
        assert (back.bundle, back.dataset, back.environment) == (
            receipt.bundle,
            receipt.dataset,
            receipt.environment,
        )
        assert np.array_equal(back.predictions.target, receipt.predictions.target)
        assert back.predictions.target.dtype == receipt.predictions.target.dtype


def test_what_a_receipt_holds_can_be_read_by_name():
    receipt = read_back(as_json(single_label()))
    assert receipt.figures["accuracy"] == Figure("accuracy", 2 / 3, 0.0, 1.0, 3)
    assert receipt.per_class == {"cat": Figure("recall", 0.5, 0.1, 0.9, 2)}
    assert receipt.latency["infer"] == Latency(1.0, 2.0, 3.5, 3)
    assert receipt.errors == (Unreadable(Path("cat/broken.jpg"), "is truncated"),)
    assert receipt.predictions.sha256 == tiny_hashes(3)
    assert receipt.predictions.right.tolist() == [True, False, True]
    assert receipt.predictions.probabilities.tolist() == [[0.75, 0.25], [0.4, 0.6], [0.123456, 0.876544]]


def test_what_the_device_delivered_comes_back_from_the_file():
    blocks = (Block(10.5, 2.25), Block(10.25, 2.0, 2.5))
    measured = Performance(31.5, 412.0, 9.75, 120_000_000, 0.25, 3400.0, 3300.5, False, 2, blocks)
    value = as_json(replace(single_label(), performance=measured))
    assert value["performance"]["reference_ms"] == 9.75
    assert value["performance"]["blocks"][0] == {
        "picture_ms": 10.5,
        "reference_ms": 2.25,
        "parallel_ms": None,
    }
    assert read_back(value).performance == measured
    value["performance"] = {"reference_ms": 4}
    assert read_back(value).performance == Performance(reference_ms=4.0)


def test_a_receipt_of_before_has_no_performance_and_three_stages():
    value = as_json(single_label())
    del value["performance"]
    assert list(value["latency"]) == ["preprocess", "infer", "total"]
    assert read_back(value).performance is None


def test_a_receipt_of_before_has_no_notes_on_its_machine():
    value = as_json(single_label())
    del value["environment"]["notes"]
    assert read_back(value).environment.notes == ()


def test_stages_are_read_and_those_that_everybody_has_are_needed():
    value = as_json(single_label())
    value["latency"]["decode"] = value["latency"]["infer"]
    assert list(read_back(value).latency) == ["decode", "preprocess", "infer", "total"]
    with pytest.raises(ReceiptError, match=r"latency must tell .*; missing, got \['infer'\]"):
        replace(single_label(), latency={stage: Latency(1, 1, 1, 3) for stage in ("preprocess", "total")})


def test_labels_are_written_as_class_numbers():
    assert as_json(single_label())["predictions"]["predicted"] == [0, 1, 1]
    assert as_json(multi_label())["predictions"]["target"] == [[0, 2], []]
    assert multi_label().predictions.right.tolist() == [True, False]


def test_shares_are_rounded_to_six_decimals_and_columns_keep_to_one_line():
    predictions = tiny_predictions([0], [0], confidence=[2 / 3])
    lines = tiny_receipt(predictions).to_json().splitlines()
    assert lines[0] == "{"
    assert lines[1] == '"format_version": 1,'
    assert '"confidence":[0.666667],"probabilities":null' in lines[-2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(mood="good"), r"r\.json has unknown keys \['mood'\]; known are 'format_version'"),
        (lambda r: r.pop("device"), r"r\.json lacks 'device'"),
        (lambda r: r.update(device=3), r"r\.json\.device must be a string, got 3"),
        (lambda r: r.update(task="detection"), "task must be one of 'single_label', 'multi_label'"),
        (lambda r: r.update(format_version="1"), r"format_version must be 1, got '1'"),
        (lambda r: r.update(format_version=2), "made by a newer edgetl; this one reads up to 1. Run: pip"),
        (lambda r: r.update(created="yesterday"), "with its offset from UTC, got 'yesterday'"),
        (
            lambda r: r.update(created="2026-11-23T20:15:00"),
            "created must be a date and time with its offset",
        ),
        (lambda r: r.update(classes=["cat", "cat"]), "classes must be 1 to 100,000 different names"),
        (lambda r: r.update(classes=["cat", "dog", "fox"]), "probabilities must have the shape"),
        (lambda r: r.update(size_bytes=-1), "size_bytes must not be negative, got -1"),
        (lambda r: r["dataset"].update(n=4), r"dataset\.n must be the 3 pictures .* got 4"),
        (lambda r: r["figures"]["accuracy"].update(high=1.5), "is damaged: Figure 'accuracy' needs"),
        (lambda r: r["figures"]["accuracy"].update(mean=1), r"r\.json\.figures\.accuracy has unknown keys"),
        (lambda r: r["per_class"].update(fox=r["per_class"]["cat"]), "per_class must name classes only"),
        (lambda r: r["latency"]["infer"].update(p99_ms=1.5), "Latency needs 0 <= p50 <= p95 <= p99"),
        (lambda r: r["latency"]["infer"].update(p99_ms=1e999), "Infinity is not JSON"),
        (lambda r: r["latency"].pop("infer"), r"r\.json\.latency lacks 'infer'"),
        (lambda r: r.update(performance={"mood": 1}), r"r\.json\.performance has unknown keys \['mood'\]"),
        (lambda r: r.update(performance={"reference_ms": "1"}), "performance.reference_ms must be a number"),
        (
            lambda r: r.update(performance={"reference_ms": -1}),
            "reference_ms must be null or a num",
        ),
        (
            lambda r: r.update(
                performance={"blocks": [{"picture_ms": 1, "reference_ms": 0, "parallel_ms": 1}]}
            ),
            r"Block\.reference_ms must be a number above 0, got 0",
        ),
        (
            lambda r: r.update(performance={"blocks": [{"picture_ms": 1}]}),
            r"blocks\[0\] lacks 'reference_ms'",
        ),
        (
            lambda r: r.update(performance={"blocks": [1] * 10_001}),
            "blocks must be at most 10,000, got 10,001",
        ),
        (
            lambda r: r.update(performance={"throttled": 1}),
            "throttled must be true, false or null",
        ),
        (
            lambda r: r.update(performance={"peak_memory_bytes": 1.5}),
            "peak_memory_bytes must be a whole number",
        ),
        (
            lambda r: r["environment"]["versions"].update(numpy=2),
            r"environment\.versions\.numpy must be a str",
        ),
        (lambda r: r["errors"].append("x"), r"r\.json\.errors\[1\] must be an object"),
    ],
)
def test_a_receipt_with_a_wrong_field_is_refused_by_name(change, message):
    value = as_json(single_label())
    change(value)
    with pytest.raises(ReceiptError, match=message):
        read_back(value)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("sha256", [], "sha256 must name 1 to 5,000,000 pictures, got 0"),
        ("sha256", ["AB" * 32, *tiny_hashes(2)], "sha256 must hold 64 small hex digits each, got 'ABAB"),
        ("sha256", tiny_hashes(2) + tiny_hashes(1), "must name every picture once; repeated names, got 1"),
        ("target", [0, 1], r"target must have 3 entries as sha256 has, got \(2,\)"),
        ("target", [0, 1, 2], "target must lie in 0 to 1, got 0 to 2"),
        ("target", [0, 1, -1], "target must lie in 0 to 1, got -1 to 1"),
        ("target", [0, 1, 0.5], "target must hold whole numbers, got float64"),
        ("target", [0, 1, "0"], r"target must hold numbers only, got \[0, 1, '0'\]"),
        ("target", [True, False, True], "target must hold numbers only, got"),
        ("target", [[0], [1], [1]], r"target must have 3 entries as sha256 has, got \(3, 1\)"),
        ("target", {"0": 1}, "target must hold numbers only"),
        ("predicted", [0, 1, 10**30], "predicted must hold numbers only"),
        ("predicted", [[0], [0, 1], []], "predicted must hold numbers only"),
        ("confidence", [0.5, 0.5, 1.5], "confidence must lie in 0 to 1, got 0.5 to 1.5"),
        ("confidence", [0.5, 0.5, None], "confidence must hold numbers only"),
        ("probabilities", [[0.5, 0.5], [1, 0]], r"probabilities must have the shape \(3, 2\), got \(2, 2\)"),
    ],
)
def test_a_receipt_with_a_wrong_column_is_refused_by_name(column, value, message):
    receipt = as_json(single_label())
    receipt["predictions"][column] = value
    with pytest.raises(ReceiptError, match=message):
        read_back(receipt)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0, 1], "target must hold a list of class numbers per picture"),
        ([], "target must hold a list of class numbers per picture"),
        ([[0, 0], [1]], "target must name a class once per picture; repeated labels, got 1"),
        ([[0, 3], [1]], "target must lie in 0 to 2, got 0 to 3"),
        ([[0.5], [1]], "target must hold whole numbers, got float64"),
        ([[0], ["1"]], "target must hold numbers only"),
    ],
)
def test_a_receipt_with_wrong_label_lists_is_refused_by_name(value, message):
    receipt = as_json(multi_label())
    receipt["predictions"]["target"] = value
    with pytest.raises(ReceiptError, match=message):
        read_back(receipt)


def test_the_task_of_the_predictions_must_be_that_of_the_receipt():
    with pytest.raises(ReceiptError, match=r"predicted must have the shape \(2, 3\) of target, got \(2,\)"):
        tiny_predictions(np.zeros((2, 3), bool), [0, 1], classes=3)
    with pytest.raises(ReceiptError, match="target of several labels must be bool, got int64"):
        tiny_predictions(np.zeros((2, 3), int), np.zeros((2, 3), int), classes=3)
    with pytest.raises(ReceiptError, match=r"predictions\.classes must count the classes, got 2"):
        tiny_receipt(tiny_predictions([0], [2], classes=3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"r\.json is no receipt: Expecting value"),
        ("[1, 2]", "r.json is no receipt: format_version must be 1, got None"),
        ('{"format_version": NaN}', "r.json is no receipt: NaN is not JSON"),
        ("[" * 100_000, "r.json is no receipt"),
    ],
)
def test_a_file_that_is_no_receipt_is_refused(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(ReceiptError, match=message):
        Receipt.read(tmp_path / "r.json")


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "r.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReceiptError, match="is no receipt: it is not text"):
        Receipt.read(tmp_path / "r.json")
    with pytest.raises(
        ReceiptError, match=r"cannot be read \(No such file.*edgetl-runtime validate BUNDLE DATA"
    ):
        Receipt.read(tmp_path / "none.json")


def test_every_complaint_names_the_file(tmp_path):
    receipt = as_json(single_label())
    receipt["predictions"]["target"] = [0, 1, 7]
    (tmp_path / "r.json").write_text(json.dumps(receipt), encoding="utf-8")
    message = re.escape(
        f"{tmp_path / 'r.json'} is damaged: predictions.target must lie in 0 to 1, got 0 to 7."
    )
    with pytest.raises(ReceiptError, match=message):
        Receipt.read(str(tmp_path / "r.json"))


def test_a_file_too_large_to_be_a_receipt_is_not_read(tmp_path):
    with (tmp_path / "r.json").open("wb") as file:
        file.truncate(600 * 2**20)  # sparse
    with pytest.raises(ReceiptError, match="is no receipt: it has more than 512 MiB"):
        Receipt.read(tmp_path / "r.json")
