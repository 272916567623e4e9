"""bfloat16: taken when it is faster and agrees, and the numbers are told."""

import pytest
from test_loop import step_data, tail

from edgetl.autocast import bf16_pays, judge_bf16
from edgetl.tuner import Tuning


@pytest.mark.parametrize(
    ("gain", "exact", "rounded", "pays"),
    [
        (1.15, 0.5, 0.51, True),
        (1.14, 0.5, 0.5, False),
        (3.0, 0.5, 0.53, False),
        (3.0, 0.5, 0.47, False),
        (2.0, 0.5, float("nan"), False),
    ],
)
def test_bf16_pays_when_it_is_faster_and_agrees(
    gain: float, exact: float, rounded: float, pays: bool
) -> None:
    assert judge_bf16(gain, exact, rounded)[0] is pays


def test_the_trial_is_told_with_its_numbers() -> None:
    found, told = bf16_pays(tail(), step_data(), Tuning(learning_rate=1e-3, batch_size=8))
    assert told.startswith(f"training in {'bf16' if found else 'f32'}: bf16 is ")
    assert " times as fast as f32, loss " in told
