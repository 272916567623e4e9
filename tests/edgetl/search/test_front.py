"""The front against brute force, and who is promoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl.search.front import Point, dominates, front, layers, promoted
from edgetl_runtime.errors import InputError

# Few different numbers, so that ties are common.
POINTS = st.lists(
    st.builds(
        Point,
        st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        st.sampled_from([0.5, 1.0, 2.0]),
        st.sampled_from([1.0, 3.0, 9.0]),
    ),
    max_size=24,
)


def beaten(one: Point, by: Point) -> bool:
    no_worse = by.accuracy >= one.accuracy and by.p50_ms <= one.p50_ms and by.size_mb <= one.size_mb
    better = by.accuracy > one.accuracy or by.p50_ms < one.p50_ms or by.size_mb < one.size_mb
    return no_worse and better


@given(POINTS)
def test_the_front_is_what_no_other_point_beats(points: list[Point]) -> None:
    expected = [i for i, one in enumerate(points) if not any(beaten(one, by) for by in points)]
    assert front(points) == expected
    assert bool(front(points)) == bool(points)


@given(POINTS)
def test_a_layer_is_the_front_of_what_the_layers_before_have_left(points: list[Point]) -> None:
    numbers = layers(points)
    for depth in range(max(numbers, default=-1) + 1):
        left = [i for i, number in enumerate(numbers) if number >= depth]
        of_left = {left[place] for place in front([points[i] for i in left])}
        assert of_left == {i for i in left if numbers[i] == depth} != set()


@given(POINTS, POINTS.filter(bool))
def test_the_front_of_two_lots_is_the_front_of_their_fronts(one: list[Point], other: list[Point]) -> None:
    both = one + other
    whole = {both[i] for i in front(both)}
    fronts = [one[i] for i in front(one)] + [other[i] for i in front(other)]
    assert {fronts[i] for i in front(fronts)} == whole


def test_equal_points_do_not_beat_each_other() -> None:
    point = Point(0.5, 1.0, 1.0)
    assert not dominates(point, Point(0.5, 1.0, 1.0))
    assert front([point, point]) == [0, 1]


@pytest.mark.parametrize(
    ("accuracy", "others", "expected"),
    [
        (0.1, [], True),  # The first is.
        (0.5, [0.6], False),
        (0.7, [0.6], True),
        (0.6, [0.6, 0.6], True),  # Nobody is ahead.
        (0.5, [0.9, 0.1, 0.2, 0.3, 0.4], True),  # Two of six are.
        (0.5, [0.9, 0.6, 0.2, 0.3, 0.4], False),
    ],
)
def test_the_best_third_is_promoted(accuracy: float, others: list[float], expected: bool) -> None:
    assert promoted(Point(accuracy, 1.0, 1.0), [Point(one, 1.0, 1.0) for one in others]) is expected


def test_a_fast_model_on_the_front_goes_before_an_accurate_one_behind_it() -> None:
    others = [Point(0.9, 5.0, 5.0), Point(0.8, 6.0, 6.0), *[Point(0.1, 9.0, 9.0)] * 3]
    assert promoted(Point(0.4, 1.0, 1.0), others)
    assert not promoted(Point(0.8, 6.0, 6.0), [Point(0.4, 1.0, 1.0), others[0], *others[2:]])


@pytest.mark.parametrize(
    "values", [(1.1, 1.0, 1.0), (0.5, 0.0, 1.0), (0.5, 1.0, -1.0), (float("nan"), 1.0, 1.0)]
)
def test_what_is_no_point_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match=r"^A point needs an accuracy in \[0, 1\], ms and MB above 0, got"):
        Point(*values)
