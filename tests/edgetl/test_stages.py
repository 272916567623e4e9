"""Steps: how many stages each one trains."""

from itertools import pairwise

import pytest
from edgetl_factories import tiny_backbone
from hypothesis import given
from hypothesis import strategies as st

from edgetl.stages import Span, blocks, derive_steps, plan_spans
from edgetl_runtime.errors import InputError

SIZES = st.lists(st.integers(0, 10**7), min_size=1, max_size=30)


def trained(sizes: list[int], steps: tuple[int, ...]) -> list[int]:
    """Count the parameters of each step."""
    return [sum(sizes[len(sizes) - step :]) for step in steps]


@given(SIZES.filter(any))
def test_steps_rise_and_end_with_all_parameters(sizes: list[int]) -> None:
    steps = derive_steps(sizes)
    assert all(a < b for a, b in pairwise(steps))
    assert steps[0] >= 1
    assert trained(sizes, steps[-1:]) == [sum(sizes)]


@given(SIZES.filter(any))
def test_every_step_trains_more_parameters_than_the_one_before(sizes: list[int]) -> None:
    counts = trained(sizes, derive_steps(sizes))
    assert all(a < b for a, b in pairwise(counts))


@given(SIZES.filter(any))
def test_the_first_step_trains_a_fifth_of_the_parameters_and_no_more_stages_than_that(
    sizes: list[int],
) -> None:
    first = derive_steps(sizes)[0]
    assert trained(sizes, (first,))[0] >= 0.2 * sum(sizes)
    if len(derive_steps(sizes)) > 1:
        assert trained(sizes, (first - 1,))[0] < 0.2 * sum(sizes)


@given(SIZES.filter(any))
def test_each_next_step_but_the_last_trains_twice_as_many_parameters(sizes: list[int]) -> None:
    counts = trained(sizes, derive_steps(sizes)[:-1])
    assert all(b >= 2 * a for a, b in pairwise(counts))


@given(SIZES.filter(any))
def test_no_step_between_could_come_earlier(sizes: list[int]) -> None:
    steps = derive_steps(sizes)[:-1]
    for before, after in pairwise(steps):
        one_less, start = trained(sizes, (after - 1, before))
        assert one_less < 2 * start


def test_stages_at_the_input_without_parameters_do_not_make_a_step_of_their_own() -> None:
    assert derive_steps([0, 0, 10]) == (1,)
    assert derive_steps([0, 1, 10]) == (1, 3)


def test_layers_without_parameters_have_no_steps() -> None:
    assert derive_steps([0, 0]) == ()
    assert derive_steps([]) == ()


def test_the_steps_of_the_default_backbone() -> None:
    sizes = [928, 896, 13_968, 39_712, 198_480, 446_784, 1_652_640, 605_440, 412_160]
    assert derive_steps(sizes) == (2, 3, 9)


def spans(*firsts: int) -> tuple[Span, ...]:
    return tuple(Span(first, 4) for first in firsts)


def test_what_is_requested_is_planned() -> None:
    assert plan_spans(tiny_backbone(), (1, 3)) == spans(3, 1)
    assert plan_spans(tiny_backbone(), ()) == ()
    assert plan_spans(tiny_backbone(), "output") == spans(3, 1, 0)


def test_the_input_side_and_the_middle_begin_with_their_third_and_end_with_all_stages() -> None:
    assert plan_spans(tiny_backbone(), "input") == (Span(0, 1), Span(0, 4))
    assert plan_spans(tiny_backbone(), "middle") == (Span(1, 3), Span(0, 4))


@given(st.integers(3, 60))
def test_thirds_follow_one_another_and_none_is_empty(stages: int) -> None:
    found = blocks(stages)
    ends = [found[name] for name in ("input", "middle", "output")]
    assert [span.first for span in ends] == [0, *(span.end for span in ends[:-1])]
    assert ends[-1].end == stages
    assert all(span.first < span.end for span in ends)


@pytest.mark.parametrize("stages", [1, 2])
def test_fewer_stages_than_three_have_no_sides(stages: int) -> None:
    assert set(blocks(stages).values()) == {Span(0, stages)}


@pytest.mark.parametrize(
    ("span", "name"),
    [
        (Span(0, 5), "all stages"),
        (Span(4, 5), "last stage"),
        (Span(2, 5), "last 3 stages"),
        (Span(0, 1), "first stage"),
        (Span(0, 2), "first 2 stages"),
        (Span(1, 3), "stages 2 to 3"),
    ],
)
def test_a_span_is_named_by_what_it_trains(span: Span, name: str) -> None:
    assert span.name(5) == name


def test_more_stages_than_there_are_cannot_be_requested() -> None:
    with pytest.raises(InputError, match=r"^'tiny' has 4 stages, --unfreeze asks for 5\.$"):
        plan_spans(tiny_backbone(), (1, 5))
