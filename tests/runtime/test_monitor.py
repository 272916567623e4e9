"""The monitor: counts, windows, alarms and what it exports."""

import json
import re
import threading
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from receipt_factories import tiny_predictions, tiny_receipt

from edgetl_runtime.errors import InputError
from edgetl_runtime.exposition import render
from edgetl_runtime.monitor import Monitor
from edgetl_runtime.session import Prediction

CLASSES = ("cat", "dog")


def baseline(n=400, share=0.7, seed=0, classes=CLASSES):
    """A receipt of a model that says cat with this share."""
    rng = np.random.default_rng(seed)
    answers = (rng.random(n) >= share).astype(int)
    confidence = rng.beta(8, 1, n) / 2 + 0.5
    predictions = tiny_predictions(answers, answers, classes=len(classes), confidence=confidence)
    return tiny_receipt(predictions, classes=classes)


def answer(best, confidence, *, rejected=False):
    shares = np.full(2, 1 - confidence, np.float32)
    shares[best] = confidence
    label = None if rejected else CLASSES[best]
    return Prediction(label, () if rejected else (label,), confidence, shares, shares)


def stream(n, *, share=0.7, sharpness=8, seed=1):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield answer(int(rng.random() >= share), rng.beta(sharpness, 1) / 2 + 0.5)


def test_a_new_monitor_knows_the_baseline_and_nothing_else():
    found = Monitor(baseline()).snapshot()
    assert (found.observed, found.rejected, found.window, found.alarms) == (0, 0, 0, ())
    assert [one.index for one in found.drift] == [None, None]
    assert found.baseline_shares == pytest.approx([0.7, 0.3], abs=0.06)
    assert (found.rejected_low, found.rejected_high) == (0.0, 1.0)


def test_predictions_are_counted_by_class_and_rejection():
    monitor = Monitor(baseline(), window=50)
    for _ in range(3):
        monitor.observe(answer(0, 0.9))
    monitor.observe(answer(1, 0.55, rejected=True))
    found = monitor.snapshot()
    assert (found.observed, found.rejected, found.counts) == (4, 1, (3, 1))
    assert found.class_shares == (0.75, 0.25)
    assert found.rejected_share == 0.25
    assert 0 < found.rejected_low < 0.25 < found.rejected_high < 1


def test_data_like_the_baseline_s_raise_no_alarm():
    monitor = Monitor(baseline(5_000), window=200)
    for prediction in stream(4_000):
        monitor.observe(prediction)
    found = monitor.snapshot()
    assert [(one.windows, one.alarms, one.alarm) for one in found.drift] == [(20, 0, False)] * 2
    assert sum(found.class_shares) == pytest.approx(1)
    assert sum(found.confidence_shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "alarmed"), [({"share": 0.4}, ("classes",)), ({"sharpness": 3}, ("confidence",))]
)
def test_a_real_shift_raises_an_alarm_in_the_first_window(change, alarmed):
    monitor = Monitor(baseline(), window=200)
    for prediction in stream(200, **change):
        monitor.observe(prediction)
    assert monitor.snapshot().alarms == alarmed


def test_an_alarm_holds_for_a_window_and_goes_with_its_cause():
    monitor = Monitor(baseline(), window=100)
    for number, share in enumerate((0.7, 0.1, 0.7)):
        for prediction in stream(100, share=share, seed=number):
            monitor.observe(prediction)
        assert monitor.snapshot().alarms == (("classes",) if share == 0.1 else ())
    assert [one.alarms for one in monitor.snapshot().drift] == [1, 0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.51, 1), st.booleans()), min_size=1, max_size=180))
def test_the_window_holds_just_the_last_pictures(seen):
    monitor = Monitor(baseline(), window=50)
    for best, confidence, rejected in seen:
        monitor.observe(answer(best, confidence, rejected=rejected))
    found, last = monitor.snapshot(), seen[-50:]
    assert found.window == len(last)
    assert found.class_shares[1] == pytest.approx(sum(best for best, _, _ in last) / len(last))
    assert found.rejected_share == pytest.approx(sum(rejected for *_, rejected in last) / len(last))
    below = sum(confidence < found.confidence_edges[0] for _, confidence, _ in last) / len(last)
    assert found.confidence_shares[0] == pytest.approx(below)
    assert found.counts == (len(seen) - sum(best for best, _, _ in seen), sum(best for best, _, _ in seen))


def test_threads_lose_no_count():
    monitor = Monitor(baseline(), window=50)

    def work():
        for _ in range(500):
            monitor.observe(answer(0, 0.9))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = monitor.snapshot()
    assert (found.observed, found.counts, found.drift[0].windows) == (4_000, (4_000, 0), 80)


def test_a_baseline_with_several_labels_is_taken_by_its_highest_probability():
    shares = np.array([[0.9, 0.6], [0.2, 0.8]] * 100)
    predictions = tiny_predictions(shares > 0.5, shares > 0.5, probabilities=shares)
    assert Monitor(tiny_receipt(predictions)).snapshot().baseline_shares == (0.5, 0.5)
    without = tiny_predictions(shares > 0.5, shares > 0.5)
    with pytest.raises(InputError, match="must hold probabilities"):
        Monitor(tiny_receipt(without))


@pytest.mark.parametrize(
    "wrong", [{"window": 49}, {"window": 1_000_001}, {"false_alarms": 0}, {"false_alarms": 0.2}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
        Monitor(baseline(), **wrong)


def test_a_prediction_of_other_classes_is_refused():
    shares = np.array([0.2, 0.3, 0.5], np.float32)
    with pytest.raises(InputError, match="must have the baseline's 2 classes, got 3"):
        Monitor(baseline()).observe(Prediction("x", ("x",), 0.5, shares, shares))


def test_the_snapshot_is_json():
    monitor = Monitor(baseline(), window=50)
    for prediction in stream(60):
        monitor.observe(prediction)
    again = json.loads(json.dumps(asdict(monitor.snapshot()), allow_nan=False))
    assert again["observed"] == 60
    assert again["drift"][0]["quantity"] == "classes"


def test_prometheus_text_names_each_metric_once_with_its_kind():
    monitor = Monitor(baseline(), window=50)
    for prediction in stream(50):
        monitor.observe(prediction)
    text = monitor.to_prometheus(line="3")
    assert 'edgetl_predictions_total{line="3"} 50.0\n' in text
    assert re.search(r'^edgetl_drift_index\{line="3",quantity="classes"\} \d', text, re.MULTILINE)
    kinds = re.findall(r"^# TYPE (\S+) (counter|gauge)$", text, re.MULTILINE)
    assert len(kinds) == len({name for name, _ in kinds}) == text.count("# HELP")
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds)


def test_what_is_not_known_yet_is_left_out_of_the_text():
    text = Monitor(baseline()).to_prometheus()
    assert "edgetl_drift_index{" not in text
    assert "\nedgetl_rejected_share " not in text
    assert "\nedgetl_predictions_total 0.0\n" in text


@pytest.mark.parametrize("name", ["class", "quantity", "__name__", "a-b", "1a", ""])
def test_labels_that_prometheus_would_refuse_are_refused(name):
    with pytest.raises(InputError, match="A label must be"):
        render(Monitor(baseline()).snapshot(), {name: "x"})


def test_the_parser_of_prometheus_reads_back_every_value():
    parser = pytest.importorskip("prometheus_client.parser")
    names = ('a "quoted" \\ name', "line\nbreak", "ordinary", "größe")
    answers = np.arange(400) % 4
    receipt = tiny_receipt(tiny_predictions(answers, answers, classes=4), classes=names)
    monitor = Monitor(receipt, window=50)
    shares = np.array([0.7, 0.1, 0.1, 0.1], np.float32)
    for _ in range(70):
        monitor.observe(Prediction(names[0], (names[0],), 0.7, shares, shares))
    text = monitor.to_prometheus(site="a\\b")
    found = monitor.snapshot()
    read = {
        (sample.name, sample.labels.get("class") or sample.labels.get("quantity")): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels["site"] == "a\\b"
    }
    assert read[("edgetl_predictions_total", None)] == 70
    assert [read[("edgetl_class_total", name)] for name in names] == list(found.counts)
    assert [read[("edgetl_class_share", name)] for name in names] == list(found.class_shares)
    for one in found.drift:
        assert read[("edgetl_drift_index", one.quantity)] == one.index
        assert read[("edgetl_drift_alarm", one.quantity)] == one.alarm
        assert read[("edgetl_drift_threshold", one.quantity)] == one.threshold
