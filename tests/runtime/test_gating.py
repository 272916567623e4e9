from dataclasses import replace

import numpy as np
import pytest
from exact_gate import exact_chances
from receipt_factories import flipped, tiny_hashes, tiny_predictions, tiny_receipt

from edgetl_runtime.accuracy import AccuracyDrop
from edgetl_runtime.errors import InputError, ReceiptError
from edgetl_runtime.gating import Flip, gate
from edgetl_runtime.resampling import RESAMPLES
from edgetl_runtime.statistics import corrected_tango, mcnemar_exact


def test_few_flips_on_many_pictures_pass():
    verdict = gate(*flipped(lost=30, gained=20, both=4_950))
    assert (verdict.outcome, verdict.exit_code) == ("PASS", 0)
    assert (verdict.n, verdict.lost, verdict.gained, verdict.drop) == (5_000, 30, 20, 0.002)
    assert verdict.interval == corrected_tango(30, 20, 5_000, 0.9)
    assert verdict.p_value == mcnemar_exact(30, 20)
    assert (verdict.needed, verdict.needed_if_equal) == (None, None)
    assert verdict.describe() == (
        "PASS: the drop of accuracy is +0.20 pp on 5,000 pictures (90% interval -0.04 to +0.45); "
        "0.50 pp are allowed. The whole interval is within what is allowed."
    )


def test_a_drop_whose_whole_interval_is_too_large_fails():
    verdict = gate(*flipped(lost=50, gained=5, both=945))
    assert (verdict.outcome, verdict.exit_code) == ("FAIL", 1)
    assert verdict.interval.low > 0.005
    assert "The whole interval is beyond what is allowed." in verdict.describe()


def test_a_drop_that_is_no_chance_may_still_be_within_the_margin_and_does_not_fail():
    verdict = gate(*flipped(lost=9, gained=1, both=990))
    assert verdict.interval.low < 0.005 < verdict.drop
    assert verdict.p_value == mcnemar_exact(9, 1) < 0.05
    assert verdict.outcome == "INCONCLUSIVE"
    assert gate(*flipped(lost=14, gained=1, both=985)).outcome == "FAIL"


def test_a_picture_or_two_of_a_small_set_are_no_false_alarm():
    for n in (20, 40, 100):
        assert gate(*flipped(lost=1, gained=0, both=n - 1)).outcome == "INCONCLUSIVE"
        assert gate(*flipped(lost=2, gained=0, both=n - 2)).outcome == "INCONCLUSIVE"
    assert gate(*flipped(lost=6, gained=0, both=14)).outcome == "FAIL"


def test_too_few_pictures_are_inconclusive_and_it_says_how_many_would_decide():
    verdict = gate(*flipped(lost=12, gained=8, both=980))
    assert (verdict.outcome, verdict.exit_code) == ("INCONCLUSIVE", 3)
    assert (verdict.needed, verdict.needed_if_equal) == (123_652, 4_947)
    assert verdict.certifiable_margin == pytest.approx(0.0111, abs=5e-5)
    assert verdict.describe() == (
        "INCONCLUSIVE: the drop of accuracy is +0.40 pp on 1,000 pictures (90% interval -0.42 to +1.26); "
        "0.50 pp are allowed. The interval reaches beyond what is allowed, so these pictures cannot tell. "
        "About 123,652 pictures would decide if the rates stay as they are. "
        "If in truth nothing is lost, 4,947 pictures would show it. "
        "1,000 pictures with so many flips can certify 1.11 pp at best."
    )


@pytest.mark.parametrize(
    ("lost", "gained", "n"),
    [(0, 0, 100), (3, 0, 1_000), (2, 3, 500), (6, 2, 300), (1, 0, 1), (1, 1, 800), (3, 0, 1_500)],
)
def test_the_pictures_that_would_decide_are_more_than_there_were(lost, gained, n):
    verdict = gate(*flipped(lost, gained, n - lost - gained))
    assert verdict.outcome == "INCONCLUSIVE"
    assert verdict.needed > n
    scale = verdict.needed / n
    again = corrected_tango(lost * scale, gained * scale, verdict.needed, 0.9)
    assert again.high <= 0.005 or again.low > 0.005


def test_equal_answers_on_few_pictures_are_no_proof():
    verdict = gate(*flipped(lost=0, gained=0, both=500))
    assert (verdict.outcome, verdict.drop, verdict.needed) == ("INCONCLUSIVE", 0.0, 598)
    assert gate(*flipped(lost=0, gained=0, both=598)).outcome == "PASS"


def test_a_drop_at_the_margin_itself_is_never_decided_by_pictures():
    verdict = gate(*flipped(lost=5, gained=0, both=995))
    assert (verdict.outcome, verdict.needed) == ("INCONCLUSIVE", None)
    assert "no practical number of pictures would decide" in verdict.describe()
    assert gate(*flipped(lost=500, gained=0, both=99_500), margin=0.0050001).needed is None


def test_a_wider_margin_and_a_laxer_alpha_let_more_pass():
    receipts = flipped(lost=12, gained=8, both=980)
    assert gate(*receipts, margin=0.0127).outcome == "PASS"
    assert gate(*receipts, margin=0.0126).outcome == "INCONCLUSIVE"
    assert gate(*receipts, margin=0.0086, alpha=0.2).outcome == "PASS"


def test_a_better_candidate_passes_with_a_negative_drop():
    verdict = gate(*flipped(lost=0, gained=30, both=970))
    assert (verdict.outcome, verdict.drop, verdict.before, verdict.after) == ("PASS", -0.03, 0.97, 1.0)


def test_pictures_are_paired_by_their_hash_and_not_by_their_place():
    hashes = tiny_hashes(4)
    before = tiny_predictions([0, 1, 0, 1], [0, 1, 1, 1], sha256=hashes)
    after = tiny_predictions([1, 0, 1, 0], [0, 0, 1, 0], sha256=hashes[::-1])
    verdict = gate(tiny_receipt(before), tiny_receipt(after))
    assert (verdict.lost, verdict.gained) == (1, 1)
    assert verdict.flips == (Flip(hashes[3], "dog", "dog", "cat"), Flip(hashes[2], "cat", "dog", "cat"))


def test_flips_are_listed_lost_first_and_the_most_confident_on_top():
    hashes = tiny_hashes(5)
    before = tiny_predictions([0, 0, 0, 1, 1], [0, 0, 1, 0, 0], sha256=hashes)
    after = tiny_predictions(
        [0, 0, 0, 1, 1], [1, 1, 0, 1, 0], sha256=hashes, confidence=[0.6, 0.9, 0.5, 0.7, 0.8]
    )
    assert gate(tiny_receipt(before), tiny_receipt(after)).flips == (
        Flip(hashes[1], "cat", "cat", "dog"),
        Flip(hashes[0], "cat", "cat", "dog"),
        Flip(hashes[3], "dog", "cat", "dog"),
        Flip(hashes[2], "cat", "dog", "cat"),
    )


def test_several_labels_are_right_only_when_all_are():
    target = np.array([[1, 1], [1, 0], [0, 0]], bool)
    before = tiny_predictions(target, target)
    after = tiny_predictions(target, np.array([[1, 0], [1, 0], [0, 1]], bool))
    verdict = gate(tiny_receipt(before), tiny_receipt(after))
    assert (verdict.lost, verdict.gained, verdict.balanced_drop) == (2, 0, None)
    assert {(flip.target, flip.before, flip.after) for flip in verdict.flips} == {
        ("cat|dog", "cat|dog", "cat"),
        ("", "", "dog"),
    }


def test_the_drop_of_balanced_accuracy_weighs_the_small_class_as_much():
    target = [0] * 90 + [1] * 10
    before, after = list(target), list(target)
    after[90:95] = [0] * 5
    verdict = gate(*(tiny_receipt(tiny_predictions(target, answers)) for answers in (before, after)))
    assert verdict.drop == 0.05
    assert verdict.balanced_drop.value == pytest.approx(0.25)
    assert verdict.balanced_drop.interval.low == pytest.approx(0.10, abs=0.051)
    assert verdict.balanced_drop.interval.high == pytest.approx(0.40, abs=0.051)


def test_the_bootstrap_is_the_same_each_time_and_agrees_with_drawing_pictures():
    rng = np.random.default_rng(1)
    target = rng.integers(0, 3, 400)
    before, after = (np.where(rng.random(400) < 0.8, target, (target + 1) % 3) for _ in range(2))
    receipts = [
        tiny_receipt(tiny_predictions(target, answers, classes=3), classes=("a", "b", "c"))
        for answers in (before, after)
    ]
    found = gate(*receipts).balanced_drop
    assert gate(*receipts).balanced_drop == found
    change = (before == target) * 1.0 - (after == target)
    drawn = []
    for _ in range(RESAMPLES):
        drawn.append(np.mean([rng.choice(change[target == k], (target == k).sum()).mean() for k in range(3)]))
    assert found.value == pytest.approx(np.mean([change[target == k].mean() for k in range(3)]))
    assert (found.interval.low, found.interval.high) == pytest.approx(
        np.quantile(drawn, (0.05, 0.95)), abs=0.006
    )


def test_classes_without_pictures_do_not_count_in_balanced_accuracy():
    receipts = [
        tiny_receipt(tiny_predictions([0, 0, 2], answers, classes=3), classes=("a", "b", "c"))
        for answers in ([0, 0, 2], [0, 1, 2])
    ]
    assert gate(*receipts).balanced_drop.value == 0.25


def test_different_test_sets_are_refused_with_the_counts_and_an_example():
    before = tiny_receipt(tiny_predictions([0, 0, 1], [0, 0, 1], sha256=tiny_hashes(3)))
    after = tiny_receipt(
        tiny_predictions([0, 1], [0, 1], sha256=(tiny_hashes(1)[0], tiny_hashes(1, salt="x")[0]))
    )
    message = (
        r"The receipts cannot be compared: pictures only in the baseline: 2, such as [0-9a-f]{12}, "
        r"[0-9a-f]{12}; "
        rf"pictures only in the candidate: 1, such as {tiny_hashes(1, salt='x')[0][:12]}\. "
        r"Run validate for all bundles on the same dataset and split\."
    )
    with pytest.raises(ReceiptError, match=message):
        gate(before, after)


def test_different_targets_classes_and_tasks_are_refused():
    one = tiny_receipt(tiny_predictions([0, 1], [0, 1]))
    with pytest.raises(ReceiptError, match="pictures with another target: 1"):
        gate(one, tiny_receipt(tiny_predictions([0, 0], [0, 1])))
    with pytest.raises(
        ReceiptError, match=r"\['dog'\] only in the baseline; .* \['fox'\] only in the candidate"
    ):
        gate(one, replace(one, classes=("cat", "fox")))
    with pytest.raises(ReceiptError, match="the classes are in another order"):
        gate(one, replace(one, classes=("dog", "cat")))
    labels = np.array([[1, 0], [0, 1]], bool)
    with pytest.raises(
        ReceiptError, match="the task of the baseline is single_label, of the candidate multi_label"
    ):
        gate(one, tiny_receipt(tiny_predictions(labels, labels)))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"margin": 0.0}, r"margin must lie in \(0, 0\.5\], got 0\.0; 0\.005 is half a percentage point"),
        ({"margin": 5.0}, "got 5.0"),
        ({"alpha": 0.5}, r"alpha must lie in \(0, 0\.5\), got 0\.5; 0\.05 is usual"),
    ],
)
def test_impossible_limits_are_refused(limits, message):
    with pytest.raises(InputError, match=message):
        gate(*flipped(1, 1, 10), **limits)


@pytest.mark.parametrize("n", [180, 598, 620, 800, 1_190, 2_210, 5_000])
@pytest.mark.parametrize("ratio", [1.0, 1.3, 2.0, 6.0])
def test_a_candidate_at_the_margin_passes_and_fails_no_oftener_than_alpha(n, ratio):
    margin = 0.005
    found = exact_chances(n, ratio * margin, margin, margin)
    assert max(found["PASS"], found["FAIL"]) <= 0.05


@pytest.mark.parametrize("discordance", [0.005, 0.02, 0.08])
def test_a_drop_inside_the_margin_is_a_false_alarm_no_oftener_either(discordance):
    assert exact_chances(5_000, discordance, 0.004, 0.005)["FAIL"] <= 0.03


def test_the_chances_of_the_outcomes_add_up_and_are_those_of_drawing():
    found = exact_chances(1_000, 0.02, 0.01, 0.005)
    assert sum(found.values()) == pytest.approx(1, abs=1e-9)
    b, c, _ = np.random.default_rng(0).multinomial(1_000, [0.015, 0.005, 0.98], 2_000).T
    pairs = zip(b.tolist(), c.tolist(), strict=True)
    outcomes = [AccuracyDrop.of(*pair, 1_000, 0.005, 0.05).outcome for pair in pairs]
    for outcome, chance in found.items():
        assert outcomes.count(outcome) / 2_000 == pytest.approx(chance, abs=0.03)


def test_a_model_with_swapped_classes_fails():
    target = np.arange(200) % 2
    receipts = [tiny_receipt(tiny_predictions(target, answers)) for answers in (target, 1 - target)]
    assert gate(*receipts).outcome == "FAIL"
