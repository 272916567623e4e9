"""The plan: total, with a reason, and the one that the facts call for."""

from dataclasses import replace

import pytest
from edgetl_factories import tiny_job
from hypothesis import given
from hypothesis import strategies as st

from edgetl.advise.plan import Approach, Facts, judge_transfer, make_plan, settings
from edgetl.advise.probe import Gain

APPROACHES = ("head", "staged", "full", "input", "scratch")
MINUTES = dict(zip((*APPROACHES, "first step"), (1.0, 16.0, 4.0, 4.0, 3.0, 2.0), strict=True))
PLAIN = Facts(
    train=1_000,
    smallest=100,
    side=300,
    size=224,
    stages=9,
    signal_p=0.005,
    lift_low=0.05,
    lift_high=0.15,
    accuracy=0.8,
    shallow=0.6,
    deep=0.55,
    minutes=MINUTES,
    budget=10,
)

share = st.floats(0, 1)
distance = st.none() | st.floats(0, 10)
gains = st.builds(Gain, st.floats(-2, 2), st.floats(0, 1))


@given(
    st.builds(
        Facts,
        train=st.integers(1, 10**6),
        smallest=st.integers(1, 10**5),
        side=st.floats(1, 4000),
        size=st.integers(32, 1024),
        stages=st.integers(1, 20),
        signal_p=share,
        lift_low=st.floats(-1, 1),
        lift_high=st.floats(-1, 1),
        accuracy=share,
        shallow=distance,
        deep=distance,
        minutes=st.dictionaries(st.sampled_from([*APPROACHES, "first step"]), st.floats(0, 1e4)),
        budget=st.floats(0, 1e4),
        gains=st.dictionaries(st.sampled_from(APPROACHES[1:]), gains),
        over_staged=st.dictionaries(st.sampled_from(APPROACHES[2:4]), gains),
    )
)
def test_every_combination_of_facts_has_a_plan_with_a_reason(facts: Facts) -> None:
    plan = make_plan(facts)
    assert plan.approach in APPROACHES
    assert all(reason.endswith(".") for reason in plan.reasons)
    assert plan.settings == settings(plan.approach, facts.stages)
    if plan.approach != "head":
        assert plan.minutes <= facts.budget
        assert facts.smallest >= 5


@pytest.mark.parametrize(
    ("changes", "approach", "transfer"),
    [
        ({}, "staged", "helps"),
        ({"signal_p": 0.02}, "head", "no signal"),
        ({"smallest": 4}, "head", "helps"),
        ({"accuracy": 0.985}, "head", "helps"),
        ({"budget": 5.0}, "staged", "helps"),
        ({"budget": 1.5}, "head", "helps"),
        ({"lift_low": -0.05, "lift_high": 0.01}, "staged", "does not help"),
        ({"lift_low": -0.05, "lift_high": 0.01, "train": 10_000}, "scratch", "does not help"),
        ({"lift_low": -0.01}, "staged", "not shown"),
        ({"shallow": 0.6, "deep": 0.2}, "input", "helps"),
        ({"shallow": 0.6, "deep": None}, "staged", "helps"),
        ({"shallow": 0.2, "deep": 0.05}, "staged", "helps"),
        ({"gains": {"full": Gain(0.2, 0.1), "scratch": Gain(0.3, 0.3)}}, "full", "helps"),
        ({"gains": {"full": Gain(0.1, 0.01), "input": Gain(0.2, 0.01)}}, "input", "helps"),
        ({"gains": {"full": Gain(-0.1, 0.01)}}, "staged", "helps"),
        ({"gains": {"full": Gain(0.2, 0.01)}, "budget": 20}, "staged", "helps"),
        ({"gains": {"full": Gain(0.2, 0.01), "staged": Gain(0.1, 0.01)}, "budget": 20}, "staged", "helps"),
        (
            {
                "gains": {"full": Gain(0.2, 0.01), "staged": Gain(0.1, 0.01)},
                "over_staged": {"full": Gain(0.1, 0.01)},
                "budget": 20,
            },
            "full",
            "helps",
        ),
        (
            {
                "gains": {"full": Gain(0.2, 0.01), "staged": Gain(0.19, 0.01)},
                "over_staged": {"full": Gain(0.01, 0.01)},
                "budget": 20,
            },
            "staged",
            "helps",
        ),
        ({"gains": {"full": Gain(0.1, 0.01), "staged": Gain(0.2, 0.01)}}, "staged", "helps"),
        ({"gains": {"input": Gain(0.2, 0.01)}, "budget": 20}, "staged", "helps"),
        (
            {
                "gains": {"input": Gain(0.2, 0.01), "staged": Gain(0.1, 0.01)},
                "over_staged": {"input": Gain(0.1, 0.01), "full": Gain(-0.1, 0.01)},
                "budget": 20,
            },
            "input",
            "helps",
        ),
    ],
)
def test_the_facts_decide(changes: dict[str, object], approach: str, transfer: str) -> None:
    plan = make_plan(replace(PLAIN, **changes))
    assert (plan.approach, plan.transfer) == (approach, transfer)


def test_transfer_that_does_not_help_is_said() -> None:
    plan = make_plan(replace(PLAIN, lift_low=-0.05, lift_high=0.01))
    told = "Transfer does not help: the lift over random features is -5.0 to +1.0 points."
    assert any(reason.startswith(told) for reason in plan.reasons)
    assert judge_transfer(PLAIN) == "helps"


def test_what_was_tried_in_vain_is_said() -> None:
    plan = make_plan(replace(PLAIN, gains={"full": Gain(0.1, 0.2)}))
    assert "Tried without a proven gain over the head: full." in plan.reasons


def test_the_reason_says_what_stands_against_staged_tuning() -> None:
    gains = {"full": Gain(0.2, 0.01)}
    told = "In a short trial, full lowered the loss of the head by 0.200 ± 0.010 nats; staged tuning "
    assert make_plan(replace(PLAIN, gains=gains)).reasons[0] == (
        f"{told}would take 16 minutes, and 10 are allowed."
    )
    assert make_plan(replace(PLAIN, gains=gains, budget=16)).reasons[0] == (
        f"{told}ends with the same step, and keeps each only if it helps."
    )


def test_small_pictures_get_a_smaller_input() -> None:
    assert make_plan(replace(PLAIN, side=28)).reasons[-1] == (
        "The pictures have 28 pixels: --size 128 is 3.1 times cheaper than 224, and worth a try."
    )
    for no_need in (replace(PLAIN, side=96), replace(PLAIN, side=28, takes_small=False)):
        assert "--size" not in " ".join(make_plan(no_need).reasons)


@pytest.mark.parametrize(
    ("approach", "steps"),
    [
        ("head", []),
        ("staged", ["last stage", "last 3 stages", "all stages"]),
        ("full", ["all stages"]),
        ("input", ["first stage", "all stages"]),
        ("scratch", ["from scratch"]),
    ],
)
def test_the_settings_train_what_the_approach_says(approach: Approach, steps: list[str]) -> None:
    job = tiny_job(**settings(approach, 4))
    assert [job.step_name(span) for span in job.spans()] == steps
    assert job.from_scratch is (approach == "scratch")
