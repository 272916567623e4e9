"""Shards of a data set, validated apart and added up, are what one validation of all pictures gives."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from receipt_factories import tiny_hashes, tiny_predictions, tiny_receipt
from runtime_factories import shards_of
from tiny_bundle import CLASSES, tiny_bundle, tiny_variant, write_colour

from edgetl_runtime import merging
from edgetl_runtime.cli import main
from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.merging import merge
from edgetl_runtime.performance import Performance
from edgetl_runtime.pictures import Index, index
from edgetl_runtime.receipt import BundleId, DatasetId, Latency, Receipt
from edgetl_runtime.session import Session
from edgetl_runtime.validation import validate

COUNT = 18


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Pictures of three classes; every fifth shows a colour that is not its label."""
    root = tmp_path_factory.mktemp("colours")
    for number in range(COUNT):
        shown = CLASSES[(number + (number % 5 == 0)) % 3]
        write_colour(root / CLASSES[number % 3] / f"{number}.png", shown, number)
    return index(root)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    variants = (tiny_variant("onnxruntime", reject_below=0.9),)
    return Session.open(tiny_bundle(tmp_path_factory.mktemp("bundle") / "b", variants=variants))


@pytest.fixture(scope="module")
def whole(session: Session, colours: Index) -> Receipt:
    return validate(session, colours)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    owners=st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT).filter(lambda them: len(set(them)) > 1)
)
def test_however_pictures_are_split_the_sum_is_the_whole(
    owners: Sequence[int], session: Session, colours: Index, whole: Receipt
) -> None:
    shards = [
        tuple(one for one, owner in zip(colours.pictures, owners, strict=True) if owner == shard)
        for shard in sorted(set(owners))
    ]
    parts = [validate(session, replace(colours, pictures=shard)) for shard in shards]
    parts = [Receipt.from_json(part.to_json()) for part in parts]  # As from files.
    found = merge(parts, [f"{number}.json" for number in range(len(parts))])
    assert by_picture(found) == by_picture(whole)
    assert found.dataset == whole.dataset
    assert found.per_class == whole.per_class
    assert list(found.figures) == list(whole.figures)
    for name, figure in whole.figures.items():
        ends = (found.figures[name].value, found.figures[name].low, found.figures[name].high)
        # Sums of the same numbers in another order may differ in their last digit.
        assert ends == pytest.approx((figure.value, figure.low, figure.high), abs=1e-12), name
        assert found.figures[name].n == figure.n


def by_picture(receipt: Receipt) -> dict[str, tuple[object, ...]]:
    found = receipt.predictions
    columns = (found.target, found.predicted, found.confidence, found.probabilities, found.untempered)
    return {
        sha: tuple(np.round(one[row], 6).tolist() for one in columns) for row, sha in enumerate(found.sha256)
    }


def test_several_labels_are_added_up_as_well() -> None:
    target = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    predicted = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], bool)
    parts = [
        tiny_receipt(tiny_predictions(target[rows], predicted[rows], sha256=tiny_hashes(4)[rows]))
        for rows in (slice(0, 1), slice(1, 4))
    ]
    found = merge(parts, ["a.json", "b.json"])
    assert found.predictions.target.tolist() == target.tolist()
    assert found.figures["subset_accuracy"].value == 0.5
    assert {name: figure.n for name, figure in found.per_class.items()} == {"cat": 2, "dog": 3}


def parts_of(*changes: dict[str, object]) -> list[Receipt]:
    return [
        tiny_receipt(tiny_predictions([0, 1], [0, 1], sha256=tiny_hashes(2, salt=str(number))), **change)
        for number, change in enumerate(changes)
    ]


def test_of_times_and_performance_the_worst_is_told() -> None:
    fast, slow = Latency(1, 2, 9, 2), Latency(2, 3, 4, 2)
    stages = ("preprocess", "infer", "total")
    first = Performance(
        throughput_per_s=50.0, peak_memory_bytes=7, reference_ms=1.0, throttled=False, threads=2
    )
    other = Performance(
        throughput_per_s=40.0, peak_memory_bytes=5, reference_ms=2.0, throttled=True, threads=2
    )
    found = merge(
        parts_of(
            {"latency": dict.fromkeys(stages, fast), "performance": first},
            {"latency": dict.fromkeys(stages, slow), "performance": other},
        ),
        ["a.json", "b.json"],
    )
    assert found.latency["total"] == Latency(2, 3, 9, 4)
    assert found.performance == Performance(
        throughput_per_s=40.0, peak_memory_bytes=7, throttled=True, threads=2
    )
    assert found.environment.notes == (
        "added up from 2 receipts: times and performance are the worst of any",
    )
    assert merge(parts_of({"performance": first}, {}), ["a.json", "b.json"]).performance is None


@settings(max_examples=50)
@given(st.lists(st.lists(st.floats(0.1, 100), min_size=40, max_size=80), min_size=2, max_size=4))
def test_the_percentiles_of_all_pictures_lie_below_the_bound(times: list[list[float]]) -> None:
    bound = Latency.bound([Latency.of(np.array(part)) for part in times])
    every = np.concatenate(times)
    assert bound.n == len(every)
    for percent, value in ((50, bound.p50_ms), (95, bound.p95_ms), (99, bound.p99_ms)):
        slower = int((every > value + 1e-4).sum())
        assert slower <= len(every) * (100 - percent) / 100 + len(times)


def test_what_was_left_out_is_told_with_the_name_of_its_dataset() -> None:
    first, other = DatasetId("first", "ab" * 32, 2, "test"), DatasetId("other", "cd" * 32, 2, "test")
    errors = ((Path("cat/0.jpg"), "is empty"),)
    found = merge(
        parts_of({"errors": errors, "dataset": first}, {"errors": errors, "dataset": other}),
        ["a.json", "b.json"],
    )
    assert [one.path.as_posix() for one in found.errors] == ["first/cat/0.jpg", "other/cat/0.jpg"]
    assert (found.dataset.name, found.dataset.n) == ("first and 1 more", 4)
    alike = merge(parts_of({"errors": errors}, {}), ["a.json", "b.json"])
    assert [one.path.as_posix() for one in alike.errors] == ["cat/0.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"bundle": BundleId("cd" * 32, "pets")},
            r"b\.json: the bundle 'abab.*' and 'cdcd.*'\. Validate all",
        ),
        ({"variant": "onnx-fp32"}, "b.json: the variant 'onnx-int8' and 'onnx-fp32'"),
        ({"device": "npu"}, "b.json: the device 'cpu' and 'npu'"),
        ({"classes": ("cat", "fox")}, r"b\.json: the classes \('cat', 'dog'\) and \('cat', 'fox'\)"),
        ({"dataset": DatasetId("pets", "cd" * 32, 2, "val")}, "b.json: the split 'test' and 'val'"),
    ],
)
def test_receipts_of_something_else_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ReceiptError, match=rf"^These receipts cannot be added up with a\.json: {message}"):
        merge(parts_of({}, change), ["a.json", "b.json"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpu": "Kettle"}, "the processor 'Toaster' and 'Kettle'"),
        ({"cores": 4}, "the number of cores 2 and 4"),
        ({"flags": ("avx2", "fma")}, "instruction sets only of b.json: fma"),
        ({"versions": {"numpy": "3.0"}}, "numpy 2.4 and 3.0"),
    ],
)
def test_receipts_of_another_machine_are_refused(change: dict[str, object], message: str) -> None:
    one, other = parts_of({}, {})
    other = replace(other, environment=replace(other.environment, **change))
    with pytest.raises(ReceiptError, match=f"b.json: {message}"):
        merge([one, other], ["a.json", "b.json"])


def test_a_picture_that_is_in_two_receipts_is_refused() -> None:
    (one,) = parts_of({})
    message = r"^2 pictures are in two receipts, such as \w{12} in a\.json and b\.json: each must count once"
    with pytest.raises(ReceiptError, match=message):
        merge([one, one], ["a.json", "b.json"])


def test_more_pictures_than_a_receipt_may_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MAX_PICTURES", 3)
    with pytest.raises(ReceiptError, match="The receipts have 4 pictures, and one receipt at most 3"):
        merge(parts_of({}, {}), ["a.json", "b.json"])


def test_one_receipt_is_no_sum() -> None:
    with pytest.raises(ReceiptError, match="Two receipts or more are added up, got 1"):
        merge(parts_of({}), ["a.json"])


def test_the_command_adds_up_the_receipts_of_tars(tmp_path, capsys) -> None:
    for number in range(6):
        write_colour(
            tmp_path / "d" / "test" / CLASSES[number % 3] / f"{number}.png", CLASSES[number % 3], number
        )
    shards = sorted(shards_of(tmp_path / "d", tmp_path / "shards").glob("*.tar"))
    bundle = str(tiny_bundle(tmp_path / "bundle"))
    outs = [str(tmp_path / f"{number}.json") for number in range(len(shards))]
    for shard, out in zip(shards, outs, strict=True):
        assert main(["validate", bundle, str(shard), "--out", out]) == 0
    assert main(["validate", bundle, str(tmp_path / "shards"), "--out", str(tmp_path / "whole.json")]) == 0
    capsys.readouterr()
    assert main(["merge", *outs, "--out", str(tmp_path / "all.json")]) == 0
    assert "6 pictures of split test of shards" in capsys.readouterr().out
    found, whole = (Receipt.read(tmp_path / name) for name in ("all.json", "whole.json"))
    assert (found.dataset, found.figures["accuracy"]) == (whole.dataset, whole.figures["accuracy"])
    assert main(["merge", outs[0], outs[0]]) == 2
    assert "each must count once" in capsys.readouterr().err
