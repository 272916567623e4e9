"""What each section says, before it is drawn."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from receipt_factories import tiny_predictions, tiny_receipt
from report_factories import (
    facts_of,
    measured_receipt,
    page_of,
    run_sources,
    sources_of,
    two_receipts,
    write_facts,
)
from tiny_bundle import tiny_bundle, tiny_manifest

from edgetl.report.facts import Missing
from edgetl.report.page import SECTIONS
from edgetl.report.sections import classes, confusion, data, flips, latency, provenance, reliability, variants
from edgetl.report.sources import Measured, Sources, read_sources
from edgetl_runtime.errors import InputError
from edgetl_runtime.gating import gate
from edgetl_runtime.receipt import BundleId


def test_the_flips_are_the_gate_s():
    sources = sources_of(*two_receipts())
    judged = gate(*(one.receipt for one in sources.receipts))
    found = flips.context(facts_of(sources))
    assert found.counts == {"onnx-int8": {"lost": judged.lost, "gained": judged.gained, "changed": 0}}
    assert {row[0] for row in found.table["rows"]} == {one.sha256[:16] for one in judged.flips}


def test_changes_are_counted_for_each_receipt():
    target = [0, 0, 0, 1]
    receipts = [
        measured_receipt(target, answers, classes=("a", "b", "c"), variant=name)
        for name, answers in (("base", [0, 0, 1, 0]), ("one", [0, 1, 0, 0]), ("two", [1, 1, 2, 2]))
    ]
    facts = facts_of(sources_of(*receipts))
    assert flips.context(facts).counts == {
        "one": {"lost": 1, "gained": 1, "changed": 0},
        "two": {"lost": 2, "gained": 0, "changed": 2},
    }
    text = page_of(facts.sources)
    assert 'id="receipt"' in text
    assert "Pictures that each receipt answers differently from base" in text
    assert 'id="receipt"' not in page_of(sources_of(*receipts[:2]))


def test_the_table_of_flips_says_each_word_once():
    table = flips.context(facts_of(sources_of(*two_receipts()), cards=1)).table
    assert table["names"] == ["onnx-fp32", "onnx-int8"]
    assert table["words"] == ["cat", "dog"] or table["words"] == ["dog", "cat"]
    (first, *_) = table["rows"]
    assert [table["words"][first[k]] for k in (3, 4, 6)] == ["cat", "cat", "dog"]
    assert (first[5], first[7]) == (0.55, 0.95)


def test_only_answers_of_the_bundle_at_hand_are_explained():
    base, other = two_receipts()
    manifest = tiny_manifest(classes=("cat", "dog"))
    mine = replace(base, bundle=BundleId(manifest.hash, "colours"))
    facts = facts_of(sources_of(mine, other, manifest=manifest))
    asked = [(change.sha256, change.answers[0].text) for change in facts.changes[:2]]
    assert flips.wanted_maps(facts.sources, facts.changes, 2) == {"onnx-fp32": asked}
    assert flips.wanted_maps(facts.sources, facts.changes, 0) == {}
    strange = tiny_manifest()
    alien = sources_of(replace(base, bundle=BundleId(strange.hash, "colours")), other, manifest=strange)
    assert flips.wanted_maps(alien, facts.changes, 2) == {}


def test_each_answer_is_explained_by_what_its_receipt_says():
    manifest = tiny_manifest(classes=("cat", "dog"))
    both = [replace(one, bundle=BundleId(manifest.hash, "colours")) for one in two_receipts()]
    facts = facts_of(sources_of(*both, manifest=manifest))
    first = facts.changes[0]
    assert [one.text for one in first.answers] == ["cat", "dog"]
    assert flips.wanted_maps(facts.sources, facts.changes, 1) == {
        "onnx-fp32": [(first.sha256, "cat")],
        "onnx-int8": [(first.sha256, "dog")],
    }


def test_of_several_labels_both_answers_are_explained_by_the_label_that_changed():
    manifest = tiny_manifest(classes=("cat", "dog"), task="multi_label")
    target = np.array([[True, True]])
    receipts = [
        tiny_receipt(
            tiny_predictions(target, answer), bundle=BundleId(manifest.hash, "colours"), variant=name
        )
        for name, answer in (("onnx-fp32", target), ("onnx-int8", np.array([[True, False]])))
    ]
    facts = facts_of(sources_of(*receipts, manifest=manifest))
    wanted = [(facts.changes[0].sha256, "dog")]
    assert flips.wanted_maps(facts.sources, facts.changes, 1) == {"onnx-fp32": wanted, "onnx-int8": wanted}


def test_the_confusion_matrix_counts_by_true_class():
    found = confusion.context(facts_of(sources_of(measured_receipt([0, 0, 0, 1], [0, 1, 0, 1]))))
    (matrix,) = found.matrices
    assert [(name, [cell.count for cell in cells]) for name, cells in matrix.rows] == [
        ("cat", [2, 1]),
        ("dog", [0, 1]),
    ]
    assert matrix.rows[0][1][1].share == pytest.approx(1 / 3)


def test_every_matrix_is_headed_by_its_own_classes(tmp_path):
    base = measured_receipt([0, 1, 1], [0, 1, 0], classes=("cat", "dog"), variant="onnx-fp32")
    other = measured_receipt([1, 0, 0], [1, 0, 0], classes=("dog", "cat"))
    text = page_of(sources_of(base, other))
    heads = re.findall(r"said to be →</th>(.*?)</tr>", text)
    assert [re.findall(r"<th scope=\"col\">(\w+)</th>", head) for head in heads] == [
        ["cat", "dog"],
        ["dog", "cat"],
    ]


def test_rare_confusions_are_seen_beside_frequent_ones_in_all_matrices():
    base = measured_receipt([0] * 100 + [1] * 100, [1] * 1 + [0] * 99 + [1] * 100, variant="onnx-fp32")
    other = measured_receipt([0] * 100 + [1] * 100, [1] * 25 + [0] * 75 + [1] * 100)
    found = confusion.context(facts_of(sources_of(base, other)))
    rare, frequent = (matrix.rows[0][1][1] for matrix in found.matrices)
    assert (rare.share, frequent.share, found.largest_miss) == (0.01, 0.25, 0.25)
    assert (rare.heat, frequent.heat) == (pytest.approx(0.2), 1)
    assert found.matrices[0].rows[1][1][0].heat == 0
    assert found.matrices[0].rows[0][1][0].heat == 0.99


@pytest.mark.parametrize(("classes", "wide"), [(4, False), (5, True)])
def test_a_matrix_of_many_classes_gets_the_whole_width(classes, wide):
    names = tuple(f"c{number}" for number in range(classes))
    facts = facts_of(sources_of(measured_receipt([0], [0], classes=names)))
    assert confusion.context(facts).matrices[0].wide is wide
    assert ('class="scroll wide"' in page_of(facts.sources)) is wide


def test_a_confusion_that_rounds_to_nothing_is_less_than_a_percent():
    text = page_of(sources_of(measured_receipt([0] * 300, [1] + [0] * 299)))
    assert "1 <small><1 %</small>" in text.replace("&lt;", "<")


def test_many_classes_show_their_most_frequent_confusions():
    names = tuple(f"c{number}" for number in range(21))
    target, answers = [0, 0, 0, 5, 5, 7], [1, 1, 0, 6, 5, 7]
    found = confusion.context(facts_of(sources_of(measured_receipt(target, answers, classes=names))))
    assert found.matrices == ()
    assert found.pairs[0].rows == (("c0", "c1", 2, pytest.approx(2 / 3)), ("c5", "c6", 1, 0.5))


def test_classes_come_weakest_first_with_their_intervals():
    receipt = measured_receipt([0, 0, 0, 1], [0, 1, 0, 1])
    found = classes.context(facts_of(sources_of(receipt)))
    assert [(row.name, row.n) for row in found.rows] == [("cat", 3), ("dog", 1)]
    strip = found.rows[0].strips[0]
    assert strip.figure == receipt.per_class["cat"]
    assert strip.low < strip.value < strip.high


def test_classes_beyond_a_hundred_are_counted():
    names = tuple(f"c{number:03}" for number in range(120))
    receipt = measured_receipt(list(range(120)), list(range(120)), classes=names)
    found = classes.context(facts_of(sources_of(receipt)))
    assert (len(found.rows), found.more) == (100, 20)


def test_reliability_bins_by_confidence():
    receipt = measured_receipt([0] * 4, [0, 0, 1, 0], confidence=[0.71, 0.79, 0.75, 1.0])
    (diagram,) = reliability.context(facts_of(sources_of(receipt))).diagrams
    assert [one.text for one in diagram.bins] == [
        "3 answers of about 75% confidence: 67% right",
        "1 answers of about 100% confidence: 100% right",
    ]
    seven, ten = diagram.bins
    assert seven.x < ten.x
    assert seven.y > ten.y  # Upwards is less.
    assert seven.high < seven.y < seven.low


def test_times_are_on_one_axis_the_fastest_first():
    fast, slow = two_receipts()
    times = {stage: replace(one, p50_ms=0.5) for stage, one in fast.latency.items()}
    found = latency.context(facts_of(sources_of(slow, replace(fast, latency=times))))
    assert [group.name for group in found.groups] == ["onnx-fp32", "onnx-int8"]
    bar = found.groups[0].bars[0]
    assert 0 < bar.p50 < bar.p95 < bar.p99 <= 100


def test_the_data_card_counts_classes_by_split(tmp_path):
    found = data.context(facts_of(run_sources(tmp_path)))
    assert found.columns == ("train", "val", "test")
    assert found.facts[0] == ("Pictures", "3 for training, 1 for validation, 2 for testing")
    assert [(row.name, row.counts, row.total) for row in found.classes] == [
        ("cat", (2, 1, 1), 4),
        ("dog", (1, 0, 1), 2),
    ]


def test_the_largest_class_is_the_measure_also_where_several_labels_are_allowed(tmp_path):
    sources = run_sources(tmp_path)
    rows = ["path,label,split", "a.png,cat|,train", "b.png,dog|,train", "c.png,,train", "d.png,,train"]
    (tmp_path / "run/dataset.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = data.context(facts_of(sources))
    assert [(row.name, row.counts, row.share) for row in found.classes] == [
        ("cat", (1,), 1),
        ("dog", (1,), 1),
    ]


def test_the_data_card_of_a_receipt_counts_its_targets():
    found = data.context(facts_of(sources_of(measured_receipt([0, 0, 1], [0, 0, 1]))))
    assert found.columns == ("test",)
    assert [(row.name, row.counts) for row in found.classes] == [("cat", (2,)), ("dog", (1,))]


def test_what_was_left_out_is_named_and_counted():
    answers = tiny_predictions([0], [0])
    receipt = tiny_receipt(answers, errors=[(Path(f"{k}.png"), "is empty") for k in range(7)])
    found = data.context(facts_of(sources_of(receipt)))
    assert (len(found.left_out), found.left_out_more) == (5, 2)


def test_a_table_of_pictures_without_its_columns_is_refused(tmp_path):
    sources = run_sources(tmp_path)
    (tmp_path / "run/dataset.csv").write_text("path,label\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"no table of the run's pictures"):
        data.context(facts_of(sources))


def test_variants_are_joined_with_the_receipts_that_measured_them(tmp_path):
    base, other = two_receipts()
    sources = read_sources([tiny_bundle(tmp_path / "b")])
    mine = Measured("onnx-fp32", replace(base, bundle=BundleId(sources.manifest.hash, "colours")))
    alien = Measured("onnx-int8", other)
    found = variants.context(facts_of(replace(sources, receipts=(mine, alien))))
    assert [(row.name, bool(row.figures)) for row in found.rows] == [
        ("onnx-fp32", True),
        ("openvino-fp32", False),
        ("onnx-int8", True),
    ]
    assert found.rows[2].stored == "of another bundle"
    assert len(found.drawing.marks) == 2


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        ({}, "not recorded"),
        ({"certified": True, "drop": 0.001, "n": 900}, "certified: drop +0.10 pp on 900 pictures"),
        (
            {"certified": False, "drop": -0.005, "n": 195, "needs": 952},
            "not certified: drop -0.50 pp on 195 pictures, needs 952",
        ),
        ({"certified": "yes", "drop": [1], "n": None}, "not recorded"),
    ],
)
def test_a_contract_is_said_in_words_whatever_it_holds(contract, said):
    manifest = tiny_manifest()
    changed = replace(manifest, variants=(replace(manifest.variants[0], contract=contract),))
    assert variants.context(facts_of(Sources(manifest=changed))).rows[0].contract == said


def test_provenance_says_what_does_not_belong_together(tmp_path):
    base, other = two_receipts()
    sources = read_sources([tiny_bundle(tmp_path / "b"), write_facts(tmp_path / "run")])
    far = replace(other, environment=replace(other.environment, cpu="Kettle"))
    moved = replace(far, dataset=replace(far.dataset, fingerprint="ef" * 32))
    receipts = (Measured("onnx-fp32", base), Measured("onnx-int8", moved))
    found = provenance.context(facts_of(replace(sources, receipts=receipts)))
    assert [(check.holds, check.text) for check in found.checks] == [
        (False, "Of another bundle: onnx-fp32, onnx-int8."),
        (False, "The data set of onnx-int8 is not that of the run."),
        (False, "The receipts come from different machines: Kettle, Toaster."),
    ]
    assert ("Licence of the pretrained weights", "Apache-2.0") in found.facts
    assert found.recipe == (("epochs", "3"), ("seed", "0"))
    assert [name for name, _ in found.machines] == ["onnx-fp32", "onnx-int8"]


def test_machines_and_versions_that_agree_are_said_once():
    found = provenance.context(facts_of(sources_of(*two_receipts())))
    assert [name for name, _ in found.machines] == ["all receipts"]
    assert found.sources == ("all receipts",)
    assert all(check.holds for check in found.checks)


def test_several_labels_have_no_matrix_and_no_diagram():
    target = np.array([[True, True], [False, True]])
    receipt = tiny_receipt(tiny_predictions(target, target))
    facts = facts_of(sources_of(receipt))
    assert isinstance(confusion.context(facts), Missing)
    assert isinstance(reliability.context(facts), Missing)
    assert "Not in this report" in page_of(facts.sources)


def test_every_section_can_be_missing_and_says_what_would_show_it(tmp_path):
    nothing = facts_of(Sources())
    missing = {s.name: s.context(nothing) for s in SECTIONS if s.name != "provenance"}
    assert all(isinstance(found, Missing) and found.reason.startswith("give ") for found in missing.values())
