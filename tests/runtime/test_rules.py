import math
from dataclasses import replace

import numpy as np
import pytest
from receipt_factories import flipped, tiny_predictions, tiny_receipt

from edgetl_runtime.errors import InputError, ReceiptError
from edgetl_runtime.gating import Limits, gate
from edgetl_runtime.performance import Block, Performance
from edgetl_runtime.statistics import clopper_pearson, exceeds, mcnemar_exact


def rules(receipts, *, margin=0.2, **limits):
    verdict = gate(*receipts, margin=margin, limits=Limits(**limits))
    return verdict, {rule.name: rule for rule in verdict.rules}


def three_classes(before, after, target):
    return [
        tiny_receipt(tiny_predictions(target, answers, classes=3), classes=("a", "b", "c"))
        for answers in (before, after)
    ]


def timed(receipt, *, p50_ms, blocks=(), **performance):
    """A receipt that also says what the machine did, as newer ones do."""
    latency = dict(receipt.latency) | {
        "total": replace(receipt.latency["total"], p50_ms=p50_ms, p95_ms=90, p99_ms=90)
    }
    told = Performance(blocks=tuple(Block(*times) for times in blocks), **performance)
    return replace(receipt, latency=latency, performance=told)


def test_without_limits_the_metric_is_the_only_rule():
    verdict, found = rules(flipped(lost=1, gained=1, both=98))
    assert list(found) == ["accuracy"]
    assert verdict.deciding is found["accuracy"]


def test_the_verdict_is_the_worst_of_its_rules_and_speaks_for_it():
    verdict, found = rules(flipped(lost=30, gained=30, both=940), negative_flips=0.01, calibration=0.5)
    assert {name: rule.outcome for name, rule in found.items()} == {
        "accuracy": "PASS",
        "negative flips": "FAIL",
        "calibration": "PASS",
    }
    assert (verdict.outcome, verdict.exit_code) == ("FAIL", 1)
    assert verdict.describe() == (
        "FAIL: 30 of 1,000 pictures were right and are wrong now, 3.00 % (90% interval 2.17 to 4.05); "
        "1.00 % are allowed. The whole interval is beyond what is allowed."
    )


@pytest.mark.parametrize(("lost", "outcome"), [(3, "PASS"), (9, "INCONCLUSIVE"), (30, "FAIL")])
def test_the_budget_of_negative_flips_is_decided_by_the_ends_of_its_interval(lost, outcome):
    _, found = rules(flipped(lost=lost, gained=lost, both=1_000 - 2 * lost), negative_flips=0.01)
    interval, rule = clopper_pearson(lost, 1_000, 0.9), found["negative flips"]
    assert rule.outcome == outcome
    assert (interval.high <= 0.01, interval.low > 0.01) == (outcome == "PASS", outcome == "FAIL")
    assert bool(rule.next_steps) == (outcome == "INCONCLUSIVE")


@pytest.mark.parametrize(("lost", "fewest"), [(0, 299), (1, 473), (3, 773)])
def test_a_share_at_the_budget_passes_in_five_percent_of_the_cases_and_no_oftener(lost, fewest):
    for n, outcome in ((fewest, "PASS"), (fewest - 1, "INCONCLUSIVE")):
        _, found = rules(flipped(lost=lost, gained=0, both=n - lost), negative_flips=0.01)
        assert found["negative flips"].outcome == outcome
        at_the_budget = sum(math.comb(n, k) * 0.01**k * 0.99 ** (n - k) for k in range(lost + 1))
        assert (at_the_budget <= 0.05) == (outcome == "PASS")


def test_negative_flips_say_how_many_pictures_would_decide():
    _, found = rules(flipped(lost=5, gained=5, both=990), negative_flips=0.01)
    (step,) = found["negative flips"].next_steps
    needed = int(step.split()[1].replace(",", ""))
    assert clopper_pearson(round(0.005 * needed), needed, 0.9).high <= 0.01
    _, found = rules(flipped(lost=10, gained=10, both=980), negative_flips=0.01)
    assert found["negative flips"].next_steps == (
        "The share is the budget itself: no number of pictures would decide.",
    )


def test_a_class_that_is_lost_fails_though_the_average_is_fine():
    target = [0] * 900 + [1] * 60 + [2] * 40
    after = [0] * 900 + [1] * 60 + [0] * 12 + [2] * 28
    verdict, found = rules(three_classes(target, after, target), class_margin=0.05)
    assert (found["accuracy"].outcome, found["per class"].outcome) == ("PASS", "FAIL")
    assert found["per class"].sentence.startswith("c +30.00 pp (p = 0.0068, n = 40); ")
    assert [drop.name for drop in verdict.classes] == ["c", "a", "b"]
    assert verdict.classes[0].p_value == pytest.approx(3 * mcnemar_exact(12, 0) / 2)


def test_a_class_whose_drop_is_no_chance_but_may_be_within_its_margin_passes():
    target = [0] * 900 + [1] * 60 + [2] * 100
    after = [0] * 900 + [1] * 60 + [0] * 9 + [2] * 91
    verdict, found = rules(three_classes(target, after, target), class_margin=0.05)
    assert verdict.classes[0].p_value < 0.05
    assert 3 * exceeds(9, 0, 100, 0.05) > 0.05
    assert found["per class"].outcome == "PASS"


def test_a_class_drop_by_chance_or_within_its_margin_passes():
    target = [0] * 90 + [1] * 60 + [2] * 40
    few = [0] * 90 + [1] * 60 + [0] * 5 + [2] * 35
    _, found = rules(three_classes(target, few, target), class_margin=0.05)
    assert found["per class"].outcome == "PASS"
    assert "the largest drop is +12.50 pp, c (p = 0.36)" in found["per class"].sentence
    many = [0] * 90 + [1] * 60 + [0] * 12 + [2] * 28
    _, found = rules(three_classes(target, many, target), class_margin=0.31)
    assert found["per class"].outcome == "PASS"


def test_each_of_several_labels_is_a_class_of_its_own():
    target = np.zeros((60, 2), bool)
    after = target.copy()
    after[:12, 1] = True
    receipts = [tiny_receipt(tiny_predictions(target, answers)) for answers in (target, after)]
    verdict, found = rules(receipts, class_margin=0.05)
    assert [(drop.name, drop.lost, drop.n) for drop in verdict.classes] == [("dog", 12, 60), ("cat", 0, 60)]
    assert found["per class"].outcome == "FAIL"


def test_balanced_accuracy_decides_when_it_is_asked_to():
    target = [0] * 900 + [1] * 100
    after = [0] * 900 + [1] * 70 + [0] * 30
    receipts = [tiny_receipt(tiny_predictions(target, answers)) for answers in (target, after)]
    verdict, found = rules(receipts, margin=0.05, metric="balanced_accuracy")
    assert verdict.drop == 0.03
    assert list(found) == ["balanced accuracy"]
    assert verdict.outcome == "FAIL"
    assert verdict.finding().startswith(
        "FAIL: the drop of balanced accuracy is +15.00 pp on 1,000 pictures (90% "
    )


def test_a_class_of_few_pictures_neither_passes_nor_fails_balanced_accuracy():
    target = [0] * 5_000 + [1] * 5
    verdict, _ = rules(
        [tiny_receipt(tiny_predictions(target, target))] * 2, margin=0.05, metric="balanced_accuracy"
    )
    assert verdict.outcome == "INCONCLUSIVE"
    assert verdict.balanced_drop.interval.high > 0.2
    after = [0] * 5_001 + [1] * 4
    receipts = [tiny_receipt(tiny_predictions(target, answers)) for answers in (target, after)]
    verdict, _ = rules(receipts, margin=0.001, metric="balanced_accuracy")
    assert verdict.outcome == "INCONCLUSIVE"


def test_macro_f1_decides_for_several_labels():
    rng = np.random.default_rng(0)
    target = rng.random((2_000, 2)) < 0.4
    after = target ^ (rng.random(target.shape) < [0.2, 0.0])
    receipts = [tiny_receipt(tiny_predictions(target, answers)) for answers in (target, after)]
    verdict, _ = rules(receipts, margin=0.05, metric="macro_f1")
    assert verdict.outcome == "FAIL"
    assert verdict.finding().startswith("FAIL: the drop of macro f1 is +1")
    same, _ = rules(receipts[:1] * 2, margin=0.05, metric="macro_f1")
    assert same.outcome == "PASS"
    with pytest.raises(
        InputError, match=r"balanced_accuracy needs one label for each picture\. Use --metric macro_f1"
    ):
        rules(receipts, metric="balanced_accuracy")
    with pytest.raises(InputError, match="calibration error needs one label"):
        rules(receipts, calibration=0.1)


def test_a_label_that_is_seldom_shown_does_not_pass_by_the_pictures_that_lack_it():
    target = np.zeros((5_000, 4), bool)
    target[:, :3] = np.random.default_rng(0).random((5_000, 3)) < 0.4
    target[:8, 3] = True
    receipts = [
        tiny_receipt(tiny_predictions(target, target, classes=4), classes=("a", "b", "c", "rare"))
    ] * 2
    verdict, _ = rules(receipts, margin=0.02, metric="macro_f1")
    assert verdict.outcome == "INCONCLUSIVE"
    assert "pictures would decide" in verdict.next_steps()[0]
    target[:200, 3] = True
    receipts = [
        tiny_receipt(tiny_predictions(target, target, classes=4), classes=("a", "b", "c", "rare"))
    ] * 2
    assert rules(receipts, margin=0.02, metric="macro_f1")[0].outcome == "PASS"


def test_five_pictures_certify_no_calibration():
    receipts = flipped(lost=0, gained=0, both=5)
    assert rules(receipts, margin=0.5, calibration=0.02)[1]["calibration"].outcome == "INCONCLUSIVE"
    receipts = flipped(lost=0, gained=0, both=500)
    assert rules(receipts, margin=0.5, calibration=0.02)[1]["calibration"].outcome == "PASS"


def test_confidence_that_no_longer_means_anything_fails_calibration():
    rng = np.random.default_rng(0)
    target = np.zeros(2_000, int)
    answers = (rng.random(2_000) > 0.7).astype(int)
    receipts = [
        tiny_receipt(tiny_predictions(target, answers, confidence=np.full(2_000, share)))
        for share in (0.7, 0.95)
    ]
    verdict, found = rules(receipts, calibration=0.05)
    assert found["calibration"].outcome == "FAIL"
    assert verdict.calibration_drift.value == pytest.approx(0.25, abs=0.03)
    assert rules(receipts[::-1], calibration=0.05)[1]["calibration"].outcome == "PASS"
    near = verdict.calibration_drift.value - 0.005
    assert rules(receipts, calibration=near)[1]["calibration"].outcome == "INCONCLUSIVE"


def test_latency_is_held_against_the_reference_workload_of_its_own_run():
    before, after = flipped(lost=0, gained=0, both=1_000)
    calm = timed(before, p50_ms=10, blocks=[(10.0, 5.0), (10.2, 5.1)] * 10)
    noisy = timed(after, p50_ms=20, blocks=[(20.0, 10.0), (20.4, 10.2)] * 10)
    slow = timed(after, p50_ms=13, blocks=[(13.0, 5.0), (13.3, 5.1)] * 10)
    near = timed(after, p50_ms=12, blocks=[(11.0, 5.0), (13.1, 5.1)] * 10)
    assert rules((calm, noisy), latency_ratio=1.2)[1]["latency"].outcome == "PASS"
    _, found = rules((calm, slow), latency_ratio=1.2)
    assert found["latency"].outcome == "FAIL"
    assert found["latency"].sentence == (
        "beside the reference workload of its own run a picture takes 1.30 times as long (90% interval 1.30 "
        "to 1.30; by the clock 13.00 ms after 10.00 ms); 1.2 is allowed."
    )
    _, found = rules((calm, near), latency_ratio=1.2)
    assert found["latency"].outcome == "INCONCLUSIVE"
    assert found["latency"].next_steps == (
        "Validate both again on a calmer machine, on more pictures, or with --threads 1.",
    )
    hot = replace(slow, performance=replace(slow.performance, throttled=True))
    assert "Heat slowed the machine down" in rules((calm, hot), latency_ratio=1.2)[1]["latency"].reason


def test_size_and_memory_are_held_against_the_baselines():
    before, after = flipped(lost=0, gained=0, both=1_000)
    _, found = rules((before, replace(after, size_bytes=4_400_001)), size_ratio=1.1)
    assert found["size"].outcome == "FAIL"
    assert rules((before, replace(after, size_bytes=4_400_000)), size_ratio=1.1)[1]["size"].outcome == "PASS"
    sides = [
        timed(before, p50_ms=1, peak_memory_bytes=100_000_000),
        timed(after, p50_ms=1, peak_memory_bytes=150_000_000),
    ]
    assert rules(sides, memory_ratio=1.4)[1]["memory"].outcome == "FAIL"
    assert rules(sides, memory_ratio=1.5)[1]["memory"].outcome == "PASS"
    with pytest.raises(ReceiptError, match="The baseline's size is 0"):
        rules((replace(before, size_bytes=0), after), size_ratio=1.1)


def test_a_limit_on_what_a_receipt_does_not_tell_is_refused():
    with pytest.raises(
        ReceiptError, match="The receipt of the baseline has no peak_memory_bytes, which this limit needs"
    ):
        rules(flipped(lost=0, gained=0, both=10), memory_ratio=1.2)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"metric": "auc"}, r"metric must be one of accuracy, balanced_accuracy, macro_f1, got 'auc'"),
        ({"negative_flips": 1.0}, r"negative_flips must be a share in \(0, 1\), got 1\.0; 0\.01 is 1 %"),
        ({"class_margin": 0.0}, "class_margin must be a share"),
        ({"latency_ratio": 0}, "latency_ratio must be a positive ratio, got 0"),
        ({"size_ratio": float("inf")}, "size_ratio must be a positive ratio"),
    ],
)
def test_impossible_limits_are_refused(limits, message):
    with pytest.raises(InputError, match=message):
        Limits(**limits)
