"""Which pictures changed, of what kind, in which order."""

import numpy as np
from receipt_factories import tiny_predictions, tiny_receipt
from report_factories import measured_receipt, two_receipts

from edgetl.report.changes import find_changes
from edgetl.report.sources import Measured


def measured(*receipts):
    return [Measured(f"r{place}", receipt) for place, receipt in enumerate(receipts)]


def test_lost_pictures_come_first_from_the_most_confident_wrong_answer_on():
    changes = find_changes(measured(*two_receipts()))
    assert [(one.kind, round(one.answers[1].confidence, 2)) for one in changes] == [
        ("lost", 0.95),
        ("lost", 0.91),
        ("gained", 0.55),
    ]
    assert [(one.name, one.text, one.right) for one in changes[0].answers] == [
        ("r0", "cat", True),
        ("r1", "dog", False),
    ]


def test_wrong_in_another_way_is_changed():
    names = ("a", "b", "c")
    sides = [measured_receipt([0, 1], [answer, 1], classes=names) for answer in (1, 2)]
    (change,) = find_changes(measured(*sides))
    assert (change.kind, change.target, [one.text for one in change.answers]) == ("changed", "a", ["b", "c"])


def test_one_candidate_that_loses_a_picture_is_enough():
    target = [0, 0]
    base, same, lost = (measured_receipt(target, answers) for answers in ([0, 0], [0, 0], [0, 1]))
    (change,) = find_changes(measured(base, same, lost))
    assert (change.kind, change.first_other) == ("lost", 2)


def test_the_order_of_the_receipts_rows_does_not_matter():
    base, other = two_receipts()
    p = other.predictions
    back = slice(None, None, -1)
    turned = tiny_receipt(
        tiny_predictions(
            p.target[back], p.predicted[back], sha256=p.sha256[back], confidence=p.confidence[back]
        )
    )
    assert find_changes(measured(base, turned)) == find_changes(measured(base, other))


def test_several_labels_are_joined():
    target = np.array([[True, True], [False, False]])
    after = np.array([[True, False], [False, False]])
    before, other = (tiny_receipt(tiny_predictions(target, answer)) for answer in (target, after))
    (change,) = find_changes(measured(before, other))
    assert (change.target, [one.text for one in change.answers]) == ("cat|dog", ["cat|dog", "cat"])
    assert [one.labels for one in change.answers] == [("cat", "dog"), ("cat",)]


def test_nothing_changes_in_one_receipt():
    assert find_changes(measured(two_receipts()[0])) == ()
