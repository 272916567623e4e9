import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from runtime_factories import shards_of, tiny_pixels
from tiny_bundle import CLASSES, tiny_bundle, tiny_variant, write_colour

from edgetl_runtime import __version__
from edgetl_runtime.errors import ContractError, InputError
from edgetl_runtime.gating import gate
from edgetl_runtime.pictures import index
from edgetl_runtime.presentation import render_receipt
from edgetl_runtime.receipt import Receipt
from edgetl_runtime.session import Session
from edgetl_runtime.validation import validate


class StubEngine:
    """Answers each picture with probabilities that the test gives, in the order of the calls."""

    executed_device = "stub"
    version = "0"

    def __init__(self, rows):
        self.rows = [None, *rows]  # None: the first call is the warm-up

    def run(self, images):
        row = self.rows.pop(0)
        shares = np.array([[1 / 3, 1 / 3, 1 / 3] if row is None else row], np.float32)
        return shares, shares


def stub_session(bundle, rows, batch=1):
    from edgetl_runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    return Session(opened, opened.manifest.variants[0], StubEngine(rows), batch=batch)


def write_dataset(root, counts, split="test"):
    seed = 0
    for colour, count in counts.items():
        for number in range(count):
            seed += 1
            write_colour(root / split / colour / f"{number}.png", colour, seed)
    return root


@pytest.fixture
def bundle(tmp_path):
    return tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "colours", {"red": 3, "green": 2, "blue": 2})


def test_a_receipt_holds_what_was_measured(bundle, data, tmp_path):
    with Session.open(bundle, variant="onnx-fp32") as session:
        receipt = validate(session, data)
        assert receipt.bundle.id == session.bundle.id
    assert (receipt.bundle.name, receipt.variant, receipt.task) == ("colours", "onnx-fp32", "single_label")
    assert receipt.classes == CLASSES
    assert (receipt.dataset.name, receipt.dataset.n, receipt.dataset.split) == ("colours", 7, "test")
    assert receipt.dataset.fingerprint == index(data).fingerprint
    assert receipt.figures["accuracy"].value == 1.0
    assert {name: figure.n for name, figure in receipt.per_class.items()} == {"red": 3, "green": 2, "blue": 2}
    assert receipt.size_bytes == (bundle / "onnx" / "model.onnx").stat().st_size
    assert receipt.environment.versions["edgetl-runtime"] == __version__
    assert receipt.errors == ()
    receipt.write(tmp_path / "r.json")
    assert gate(Receipt.read(tmp_path / "r.json"), receipt, margin=0.5).outcome == "PASS"


def test_targets_are_numbers_of_the_bundles_classes_whatever_their_order_in_the_dataset(bundle, data):
    with Session.open(bundle, variant="onnx-fp32") as session:
        predictions = validate(session, data).predictions
    indexed = index(data)
    assert indexed.classes == ("blue", "green", "red")
    assert predictions.sha256 == tuple(picture.sha256 for picture in indexed.pictures)
    assert predictions.target.tolist() == [2, 2, 1, 1, 0, 0, 0]
    assert predictions.predicted.tolist() == predictions.target.tolist()
    assert predictions.probabilities.shape == (7, 3)
    assert np.array_equal(predictions.confidence, predictions.probabilities.max(axis=1))


def test_two_engines_give_receipts_that_can_be_gated(bundle, data):
    pytest.importorskip("openvino")
    receipts = []
    for variant in ("onnx-fp32", "openvino-fp32"):
        with Session.open(bundle, variant=variant) as session:
            receipts.append(validate(session, data))
    verdict = gate(*receipts, margin=0.5)
    assert (verdict.lost, verdict.gained, verdict.n) == (0, 0, 7)


def test_times_are_given_by_stage_for_every_picture(bundle, data):
    with Session.open(bundle) as session:
        latency = validate(session, data).latency
    assert list(latency) == ["decode", "resize", "preprocess", "infer", "outputs", "total"]
    assert {entry.n for entry in latency.values()} == {7}
    assert 0 < latency["decode"].p50_ms < latency["preprocess"].p50_ms < latency["total"].p50_ms
    assert 0 < latency["infer"].p50_ms < latency["total"].p50_ms


def test_what_the_machine_delivered_is_told(bundle, data):
    with Session.open(bundle) as session:
        found = validate(session, data).performance
        assert found.cold_start_ms > session.opening_ms > 0
    assert found.throughput_per_s > 0
    assert found.reference_ms > 0
    assert found.peak_memory_bytes is None or found.peak_memory_bytes > 10_000_000


def test_a_killed_validation_goes_on_where_it_stopped(bundle, data, tmp_path):
    journal = tmp_path / "journal"
    with Session.open(bundle) as session:
        whole = validate(session, data)
        broken = data / "test" / "blue" / "broken.png"
        broken.write_bytes((data / "test" / "blue" / "0.png").read_bytes()[:-200])

        class Killed(Exception):
            pass

        def kill(done, total):
            if done == 4:
                raise Killed

        with pytest.raises(Killed):
            validate(session, data, journal=journal, progress=kill, max_unreadable=0.5)
        assert len(journal.read_text(encoding="utf-8").splitlines()) == 5
        asked = []
        predict = session.infer
        session.infer = lambda images: asked.append(1) or predict(images)
        resumed = validate(session, data, journal=journal, resume=True, max_unreadable=0.5)
    assert len(asked) == 1 + 4  # A reference case, and what was left: three of the first four could be used.
    assert resumed.predictions.to_json() == whole.predictions.to_json()
    assert [error.reason for error in resumed.errors] == ["is truncated"]


def test_a_journal_of_another_variant_is_not_gone_on_with(bundle, data, tmp_path):
    pytest.importorskip("openvino")
    for variant, resume in (("onnx-fp32", False), ("openvino-fp32", True)):
        with Session.open(bundle, variant=variant) as session:
            if not resume:
                validate(session, data, journal=tmp_path / "journal")
                continue
            with pytest.raises(InputError, match="was begun with another variant"):
                validate(session, data, journal=tmp_path / "journal", resume=True)


@pytest.mark.parametrize("other", [{"threads": 2}, {"hint": "throughput"}])
def test_a_journal_of_other_times_is_not_gone_on_with(bundle, data, tmp_path, other):
    journal = tmp_path / "journal"
    with Session.open(bundle, threads=1) as session:
        validate(session, data, journal=journal)
    with Session.open(bundle, **{"threads": 1, **other}) as session:
        [name] = other
        with pytest.raises(InputError, match=f"was begun with another {name}: it cannot be gone on with"):
            validate(session, data, journal=journal, resume=True)
    with Session.open(bundle, threads=1) as session:
        performance = validate(session, data, journal=journal, resume=True).performance
        assert performance.throughput_per_s is None


def test_progress_is_told_after_every_picture(bundle, data):
    told = []
    with Session.open(bundle) as session:
        validate(session, data, limit=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_unreadable_pictures_are_listed_and_never_dropped_silently(bundle, tmp_path):
    data = write_dataset(tmp_path / "d", {"red": 10, "green": 10, "blue": 10})
    broken = data / "test" / "blue" / "broken.png"
    broken.write_bytes((data / "test" / "blue" / "0.png").read_bytes()[:-200])
    with Session.open(bundle) as session:
        receipt = validate(session, data)
    assert receipt.dataset.n == 30
    assert [(error.path.as_posix(), error.reason) for error in receipt.errors] == [
        ("test/blue/broken.png", "is truncated")
    ]


def test_too_many_unreadable_pictures_are_an_error_that_names_them_and_the_flag(bundle, tmp_path):
    data = write_dataset(tmp_path / "d", {"red": 4, "green": 4, "blue": 4})
    broken = data / "test" / "red" / "broken.png"
    broken.write_bytes((data / "test" / "blue" / "0.png").read_bytes()[:-200])
    with Session.open(bundle) as session:
        message = (
            r"1 of 13 pictures are unusable, .* 0\.05 allowed:\n  \S*broken\.png is truncated\nMend .* --max-"
        )
        with pytest.raises(InputError, match=message):
            validate(session, data)
        assert validate(session, data, max_unreadable=0.1).dataset.n == 12


def test_copies_are_counted_once_and_listed(bundle, data):
    copy = data / "test" / "red" / "9.png"
    copy.write_bytes((data / "test" / "red" / "0.png").read_bytes())
    with Session.open(bundle) as session:
        receipt = validate(session, data)
    assert receipt.dataset.n == 7
    assert [error.reason for error in receipt.errors] == ["has the same bytes as '0.png'"]


def test_contradictory_labels_count_as_unusable(bundle, data):
    (data / "test" / "green" / "9.png").write_bytes((data / "test" / "red" / "0.png").read_bytes())
    with Session.open(bundle) as session:
        with pytest.raises(InputError, match="2 of 8 pictures are unusable"):
            validate(session, data)
        receipt = validate(session, data, max_unreadable=0.5)
    assert receipt.dataset.n == 6
    assert {error.reason for error in receipt.errors} == {"has copies with the labels 'green', 'red'"}


def test_a_dataset_of_which_nothing_can_be_used_is_an_error(bundle, tmp_path):
    for colour in CLASSES:
        write_colour(tmp_path / "d" / colour / "0.png", "red", 1)
    with Session.open(bundle) as session, pytest.raises(InputError, match="No picture is left to validate"):
        validate(session, tmp_path / "d", max_unreadable=1.0)


def test_other_classes_than_the_bundles_are_refused_with_both_lists(bundle, tmp_path):
    for name in ("red", "green", "violet"):
        write_colour(tmp_path / "d" / name / "0.png", "red", ord(name[0]))
    with Session.open(bundle) as session:
        message = r"does not know\.\n  unknown: violet\n  bundle:  red, green, blue\nName the folders"
        with pytest.raises(InputError, match=message):
            validate(session, tmp_path / "d")


def test_pictures_of_some_of_the_bundles_classes_are_enough(bundle, tmp_path):
    data = write_dataset(tmp_path / "some", {"red": 3, "blue": 2})
    with Session.open(bundle, variant="onnx-fp32") as session:
        receipt = validate(session, data)
    assert receipt.classes == CLASSES
    assert receipt.predictions.target.tolist() == [2, 2, 0, 0, 0]
    assert list(receipt.per_class) == ["red", "blue"]
    assert receipt.figures["balanced_accuracy"].value == 1.0
    assert Receipt.from_json(receipt.to_json()).figures == receipt.figures


def test_a_long_list_of_classes_is_cut(bundle, tmp_path):
    for number in range(30):
        write_colour(tmp_path / "d" / f"class{number:02}" / "0.png", "red", number)
    with Session.open(bundle) as session, pytest.raises(InputError, match="class19 and 10 more"):
        validate(session, tmp_path / "d")


def test_several_labels_per_picture_do_not_fit_a_bundle_of_one(bundle, tmp_path):
    write_colour(tmp_path / "a.png", "red")
    (tmp_path / "d.csv").write_text("path,label\na.png,red|green\n", encoding="utf-8")
    with (
        Session.open(bundle) as session,
        pytest.raises(InputError, match="pictures with several labels; the bundle"),
    ):
        validate(session, tmp_path / "d.csv")


def test_a_multi_label_bundle_is_measured_by_label_sets(tmp_path):
    bundle = tiny_bundle(tmp_path / "bundle", task="multi_label")
    for number in range(3):
        Image.fromarray(tiny_pixels(number)).save(tmp_path / f"{number}.png")
    rows = "path,label\n0.png,red|green\n1.png,blue\n2.png,\n"
    (tmp_path / "d.csv").write_text(rows, encoding="utf-8")
    order = [picture.path.name for picture in index(tmp_path / "d.csv").pictures]
    answers = {"0.png": [0.9, 0.5, 0.1], "1.png": [0.9, 0.1, 0.9], "2.png": [0.2, 0.1, 0.49]}
    session = stub_session(bundle, [answers[name] for name in order])
    receipt = validate(session, tmp_path / "d.csv")
    right = dict(zip(order, receipt.predictions.right.tolist(), strict=True))
    assert right == {"0.png": True, "1.png": False, "2.png": True}
    assert receipt.figures["subset_accuracy"].value == 2 / 3
    assert receipt.per_class["red"].name == "f1"
    assert receipt.per_class["red"].value == pytest.approx(2 / 3)
    assert receipt.predictions.confidence[order.index("2.png")] == pytest.approx(0.49)


def stub_of_many_classes(path, classes, pictures):
    """A session that gives class 1 of so many to each picture, and the pictures, all of class 0 or 1."""
    names = [f"c{number:05}" for number in range(classes)]
    bundle = tiny_bundle(path / "bundle", classes=tuple(names))
    for number in range(pictures):
        write_colour(path / f"data/{number}.png", "red", number)
    labels = [names[number % 2] for number in range(pictures)]
    rows = [f"data/{number}.png,{label}\n" for number, label in enumerate(labels)]
    (path / "d.csv").write_text("path,label\n" + "".join(rows), encoding="utf-8")
    share = np.full(classes, 0.1 / (classes - 1), np.float32)
    share[1] = 0.9
    session = stub_session(bundle, [])
    session._engine.get().run = lambda images: (share[np.newaxis], share[np.newaxis])
    return session, replace(index(path / "d.csv"), classes=tuple(names))


@pytest.mark.parametrize(("classes", "kept"), [(20, True), (21, False)])
def test_of_many_classes_only_what_the_figures_need_is_kept(tmp_path, classes, kept):
    session, data = stub_of_many_classes(tmp_path, classes, 6)
    receipt = validate(session, data, journal=tmp_path / "journal")
    assert receipt.figures["accuracy"].value == 0.5
    assert receipt.figures["expected_calibration_error"].value == pytest.approx(0.4)
    assert ("auc" in receipt.figures) is kept
    assert receipt.predictions.confidence.tolist() == [pytest.approx(0.9)] * 6
    assert (receipt.predictions.probabilities is not None) is kept
    resumed = validate(session, data, journal=tmp_path / "journal", resume=True)
    assert resumed.predictions.to_json() == receipt.predictions.to_json()
    assert resumed.figures == receipt.figures


def test_memory_does_not_grow_with_the_classes_of_each_picture(tmp_path):
    session, data = stub_of_many_classes(tmp_path, 10_000, 150)
    tracemalloc.start()
    try:
        validate(session, data, journal=tmp_path / "journal")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150 * 10_000 * 4 / 2  # Half of one table of float32.
    assert (tmp_path / "journal").stat().st_size < 150 * 1_000


def test_probabilities_that_bfloat16_rounded_above_one_are_cut(bundle, tmp_path):
    data = write_dataset(tmp_path / "d", dict.fromkeys(CLASSES, 1))
    receipt = validate(stub_session(bundle, [[1.004, 0.0, -0.001]] * 3), data)
    assert receipt.predictions.probabilities.max() == 1.0
    assert receipt.predictions.probabilities.min() == 0.0


@pytest.mark.parametrize("row", [[np.nan, 0.5, 0.5], [np.inf, 0, 0], [3.0, -1.0, 0.2]])
def test_numbers_that_are_no_probabilities_break_the_contract(bundle, data, row):
    with pytest.raises(ContractError, match="'onnx-fp32' on 'stub' gave numbers that are no probabilities"):
        validate(stub_session(bundle, [row] * 7), data)


def test_a_variant_of_a_fixed_batch_is_measured_a_picture_at_a_time(tmp_path, data):
    bundle = tiny_bundle(tmp_path / "fixed", variants=(tiny_variant("onnxruntime", batch=4),))
    with Session.open(bundle) as session:
        receipt = validate(session, data)
    assert receipt.figures["accuracy"].value == 1.0
    assert receipt.latency["infer"].n == 7


def test_a_receipt_of_an_npu_says_that_none_was_there_before(bundle, data):
    session = stub_session(bundle, [[0.8, 0.1, 0.1]] * 7)
    assert validate(session, data).environment.notes == ()
    session = stub_session(bundle, [[0.8, 0.1, 0.1]] * 7)
    session.device = "npu"
    receipt = validate(session, data)
    assert "not yet run on hardware" in receipt.environment.notes[0]
    assert Receipt.from_json(receipt.to_json()).environment == receipt.environment
    assert "Note: not yet run on hardware" in render_receipt(receipt)


def test_what_a_threshold_answers_is_measured_and_printed(tmp_path, data):
    variants = (tiny_variant("onnxruntime", reject_below=0.7),)
    bundle = tiny_bundle(tmp_path / "rejecting", variants=variants)
    rows = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], *[[0.1, 0.1, 0.8]] * 4]
    receipt = validate(stub_session(bundle, rows), data)
    assert receipt.figures["answered"].value == pytest.approx(6 / 7)
    assert receipt.figures["precision_of_answers"].n == 6
    assert "calibration_error_before_temperature" in receipt.figures
    printed = render_receipt(receipt)
    assert "\nanswered  " in printed
    assert "\nprecision of answers  " in printed


def test_a_session_of_another_batch_is_refused(bundle, data):
    with pytest.raises(InputError, match="open the session with batch=1, got 4"):
        validate(stub_session(bundle, [], batch=4), data)


def test_tars_give_the_figures_and_answers_of_the_same_pictures_in_folders(bundle, data, tmp_path):
    shards = shards_of(data, tmp_path / "shards")
    receipts = []
    with Session.open(bundle, variant="onnx-fp32") as session:
        for place in (data, shards, shards / "test-{000..001}.tar"):
            receipts.append(validate(session, place))
    one, *others = receipts
    for other in others:
        assert (other.figures, other.per_class) == (one.figures, one.per_class)
        assert other.dataset.fingerprint == one.dataset.fingerprint
        assert answers(other) == answers(one)


def answers(receipt):
    found = receipt.predictions
    return dict(
        zip(found.sha256, zip(found.target, found.predicted, found.confidence, strict=True), strict=True)
    )


def test_a_picture_of_a_tar_that_is_damaged_is_listed_by_its_name(bundle, data, tmp_path):
    (data / "test/red/9.png").write_bytes(b"no picture")
    shards = shards_of(data, tmp_path / "shards")
    with Session.open(bundle, variant="onnx-fp32") as session:
        receipt = validate(session, shards, max_unreadable=0.5)
    assert [one.path.as_posix() for one in receipt.errors] == ["test-001.tar/red/9.png"]
