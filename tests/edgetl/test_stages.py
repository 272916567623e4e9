"""Steps: how many stages each one trains."""

from itertools import pairwise

import pytest
from edgetl_factories import tiny_backbone
from hypothesis import given
from hypothesis import strategies as st

from edgetl.stages import derive_steps, plan_steps
from edgetl_runtime.errors import InputError

SIZES = st.lists(st.integers(0, 10**7), min_size=1, max_size=30)


def trained(sizes: list[int], steps: tuple[int, ...]) -> list[int]:
    """Count the parameters of each step."""
    return [sum(sizes[len(sizes) - step :]) for step in steps]


@given(SIZES.filter(any))
def test_steps_rise_and_end_with_all_stages(sizes: list[int]) -> None:
    steps = derive_steps(sizes)
    assert all(a < b for a, b in pairwise(steps))
    assert steps[0] >= 1
    assert steps[-1] == len(sizes)


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


def test_layers_without_parameters_have_no_steps() -> None:
    assert derive_steps([0, 0]) == ()
    assert derive_steps([]) == ()


def test_the_steps_of_the_default_backbone() -> None:
    sizes = [928, 896, 13_968, 39_712, 198_480, 446_784, 1_652_640, 605_440, 412_160]
    assert derive_steps(sizes) == (2, 3, 9)


def test_what_is_requested_is_planned() -> None:
    assert plan_steps(tiny_backbone(), (1, 3)) == (1, 3)
    assert plan_steps(tiny_backbone(), ()) == ()
    assert plan_steps(tiny_backbone(), None) == (1, 3, 4)


def test_more_stages_than_there_are_cannot_be_requested() -> None:
    with pytest.raises(InputError, match=r"^'tiny' has 4 stages, --unfreeze asks for 5\.$"):
        plan_steps(tiny_backbone(), (1, 5))
