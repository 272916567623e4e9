"""Scales, ticks and labels."""

import pytest

from edgetl.report.chart import LINE, Scale, head_of, labels_above, polyline, spanning
from edgetl_runtime.errors import InputError


def test_a_scale_maps_its_ends_and_keeps_what_is_beyond_on_the_edge():
    scale = Scale(0, 2, 10, 110)
    assert [scale(value) for value in (0, 0.5, 2, -1, 3)] == [10, 35, 110, 10, 110]


def test_a_scale_can_run_downwards():
    assert Scale(0, 1, 100, 0)(0.25) == 75


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_scale_without_a_range_is_refused(low, high):
    with pytest.raises(InputError, match="finite low < high"):
        Scale(low, high)


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 1, 5, (0, 0.5, 1)),
        (0, 10, 6, (0, 2, 4, 6, 8, 10)),
        (-0.021, 0.009, 5, (-0.02, -0.01, 0)),
        (0.3, 0.39, 4, (0.3, 0.35)),
        (0, 12345, 5, (0, 5000, 10000)),
    ],
)
def test_ticks_are_round_and_no_more_than_asked_for(low, high, most, ticks):
    assert Scale(low, high).ticks(most) == pytest.approx(ticks)


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [5.0], [-3.0, 8.0]])
def test_a_spanning_scale_has_room_at_both_ends(values):
    scale = spanning(values)
    assert all(0 < scale(value) < 100 for value in values)


def test_a_polyline_is_pairs():
    assert polyline([(1, 2.5), (3, 4)]) == "1,2.5 3,4"


def test_labels_that_would_meet_go_to_lines_of_their_own():
    far, near, next_to_it = labels_above(["aaaa", "bbbb", "cccc"], [10, 200, 210], 100, 312)
    assert (far.y, near.y, next_to_it.y) == (94, 94 - LINE, 94)
    assert (far.x, near.x) == (7, 197)


def test_a_label_near_the_edge_begins_earlier_and_ends_within():
    (label,) = labels_above(["a" * 20], [300], 100, 312)
    assert label.x == pytest.approx(312 - 20 * 6.3)


def test_the_head_has_room_for_the_highest_line():
    labels = labels_above(["same place"] * 4, [50] * 4, 14, 312)
    assert min(label.y for label in labels) + head_of(labels) == LINE
    assert head_of(()) == 0
