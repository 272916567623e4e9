"""The verdict of a page: every rule that was asked, on one axis."""

import re
from dataclasses import replace

import pytest
from receipt_factories import flipped
from report_factories import facts_of, measured_receipt, page_of, sources_of, two_receipts

from edgetl.report.facts import Missing
from edgetl.report.sections import flips, verdict
from edgetl_runtime.asking import Question
from edgetl_runtime.gating import gate
from edgetl_runtime.rules import Limits


def pair(lost, gained, both):
    before, after = flipped(lost, gained, both)
    return sources_of(replace(before, variant="float"), after)


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [((0, 0, 2000), "PASS"), ((100, 0, 900), "FAIL"), ((2, 0, 200), "INCONCLUSIVE")],
)
def test_the_verdict_is_the_gate_s(counts, outcome):
    sources = pair(*counts)
    found = verdict.context(facts_of(sources))
    judged = gate(*(one.receipt for one in sources.receipts))
    assert found.outcome == found.rows[0].outcome == judged.outcome == outcome
    assert [rule.name for rule in found.rows[0].rules] == ["accuracy"]
    assert judged.reason() in found.rows[0].rules[0].said


def test_the_worst_candidate_decides_the_headline():
    before, after = flipped(0, 0, 2000)
    worse = flipped(200, 0, 1800)[1]
    named = [replace(one, variant=name) for name, one in (("a", before), ("b", after), ("c", worse))]
    found = verdict.context(facts_of(sources_of(*named)))
    assert [row.outcome for row in found.rows] == ["PASS", "FAIL"]
    assert (found.outcome, found.headline) == ("FAIL", "Accuracy was lost.")


def test_the_interval_stands_where_it_passes_or_fails():
    row = verdict.context(facts_of(pair(0, 0, 2000))).rows[0]
    found = verdict.context(facts_of(pair(0, 0, 2000)))
    assert row.low < row.drop == found.zero < row.high < found.margin
    failed = verdict.context(facts_of(pair(100, 0, 900)))
    assert failed.margin < failed.rows[0].low


def test_every_rule_that_was_asked_is_shown_with_its_outcome():
    question = Question(margin=0.02, limits=Limits(negative_flips=0.01, class_margin=0.05, size_ratio=1.5))
    sources = pair(50, 45, 1905)
    found = verdict.context(facts_of(sources, question=question))
    (row,) = found.rows
    judged = gate(*(one.receipt for one in sources.receipts), margin=0.02, limits=question.limits)
    assert [(rule.name, rule.outcome) for rule in row.rules] == [
        ("accuracy", "PASS"),
        ("negative flips", "FAIL"),
        ("per class", "PASS"),
        ("size", "PASS"),
    ]
    assert found.outcome == judged.outcome == "FAIL"
    assert found.headline == "Beyond its limit: negative flips."
    text = page_of(sources, question=question)
    assert re.findall(r'<span class="tag (\w+)">\w+</span> <span class="rule">([\w ]+)</span>', text) == [
        ("pass", "accuracy"),
        ("fail", "negative flips"),
        ("pass", "per class"),
        ("pass", "size"),
    ]


@pytest.mark.parametrize(
    ("counts", "limits", "headline"),
    [
        ((100, 0, 900), Limits(size_ratio=1.5), "Accuracy was lost."),
        ((0, 0, 2000), Limits(size_ratio=1.5), "All within their limits: accuracy, size."),
        ((0, 0, 2000), Limits(size_ratio=0.5), "Beyond its limit: size."),
        ((2, 0, 200), Limits(size_ratio=1.5), "Undecided: accuracy."),
        ((100, 0, 900), Limits(size_ratio=0.5), "Beyond their limits: accuracy, size."),
    ],
)
def test_the_headline_names_the_rules_that_decide(counts, limits, headline):
    question = Question(limits=limits)
    assert verdict.context(facts_of(pair(*counts), question=question)).headline == headline


def test_the_name_of_a_class_keeps_its_letters():
    target, worse = [0] * 40 + [1] * 40, [1] * 40 + [1] * 40
    base = measured_receipt(target, target, classes=("ant", "bee"), variant="onnx-fp32")
    other = measured_receipt(target, worse, classes=("ant", "bee"))
    question = Question(limits=Limits(class_margin=0.05))
    accuracy, per_class = verdict.context(facts_of(sources_of(base, other), question=question)).rows[0].rules
    assert accuracy.said.startswith("The drop of accuracy")
    assert per_class.said.startswith("ant +100.00 pp")


def test_the_axis_of_accuracy_shows_no_margin_of_another_metric():
    sources, question = pair(10, 10, 1980), Question(limits=Limits(metric="balanced_accuracy"))
    found = verdict.context(facts_of(sources, question=question))
    assert found.rows[0].rules[0].name == "balanced accuracy"
    assert found.margin is None
    assert "Another metric decides." in page_of(sources, question=question)


def test_receipts_of_other_machines_are_compared_with_a_note_of_what_check_says():
    before, after = flipped(0, 0, 2000)
    far = replace(after, environment=replace(after.environment, cpu="Kettle"))
    sources = sources_of(replace(before, variant="float"), far)
    (row,) = verdict.context(facts_of(sources)).rows
    assert row.outcome == "PASS"
    assert row.note.startswith("`edgetl check` refuses these two: The receipts come from different machines")
    asked = Question(limits=Limits(across_machines=True))
    assert verdict.context(facts_of(sources, question=asked)).rows[0].note == ""


def test_a_limit_that_a_receipt_cannot_answer_is_told_as_check_tells_it():
    found = verdict.context(facts_of(pair(0, 0, 2000), question=Question(limits=Limits(latency_ratio=1.2))))
    assert found.outcome == "NOT COMPARED"
    assert "a limit of the latency needs 5" in found.rows[0].note


def test_receipts_of_other_pictures_are_not_compared_and_say_so():
    before, after = flipped(1, 0, 20)[0], flipped(1, 0, 30)[1]
    facts = facts_of(sources_of(replace(before, variant="float"), after))
    found = verdict.context(facts)
    assert found.outcome == "NOT COMPARED"
    assert "pictures only in the candidate: 10" in found.rows[0].note
    assert found.rows[0].rules == ()
    assert flips.context(facts) == Missing("no receipt answers for the pictures of the baseline")


def test_one_receipt_shows_its_figure_and_no_verdict():
    found = verdict.context(facts_of(sources_of(two_receipts()[0])))
    assert (found.outcome, found.figure.name, found.rows) == ("", "accuracy", ())
