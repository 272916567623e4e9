"""What advice is asked for, and how a training is asked the same."""

from edgetl.advise.card import _command
from edgetl.advise.request import Request
from edgetl.cost import Limits


def test_a_training_is_asked_the_same_as_the_advice() -> None:
    asked = Request(
        ("efficientnet_lite0", "my runs/one"), Limits(20.0, 7.5), 1800.0, seed=3, settings={"size": 96}
    )
    assert asked.flags() == (
        "--candidates 'efficientnet_lite0,my runs/one'",
        "--max-latency-ms 20",
        "--max-size-mb 7.5",
        "--size 96",
        "--time-budget 1800",
        "--seed 3",
    )
    assert Request().flags() == ()


def test_a_long_command_is_broken_where_a_shell_goes_on() -> None:
    parts = ["edgetl train DATA", *(f"--candidates 'run {number}'" for number in range(6)), "--out RUN"]
    lines = _command(parts)
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    assert "\n".join(lines).replace(" \\\n ", "") == " ".join(parts)
