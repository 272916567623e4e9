"""Blending: the line between two sets of weights, and the best point on it."""

import math

import pytest
import torch
from test_loop import state, tail
from torch import nn

from edgetl.blend import SHARES, blend, interpolate
from edgetl.scoring import Score
from edgetl.tail import Diverged


def moved(by: float) -> nn.Sequential:
    """Move every weight of the tail, and no statistic, by so much."""
    result = tail()
    with torch.no_grad():
        for parameter in result.parameters():
            parameter.add_(by)
    return result


def judged(loss: float) -> Score:
    return Score(loss, torch.full((4,), loss).numpy(), torch.ones(4, dtype=torch.bool).numpy(), 1.0, 1.0)


def test_weights_lie_on_the_line_and_statistics_stay() -> None:
    found, before = state(interpolate(tail(), moved(1.0), 0.25)), state(tail())
    buffers = {name for name, _ in tail().named_buffers()}
    for name, tensor in before.items():
        assert torch.allclose(found[name], tensor if name in buffers else tensor + 0.25), name


def test_all_of_the_way_gives_the_weights_after_bit_for_bit() -> None:
    after = moved(0.123)
    assert all(torch.equal(t, state(after)[n]) for n, t in state(interpolate(tail(), after, 1.0)).items())


@pytest.mark.parametrize("best", SHARES)
def test_the_best_point_is_found(best: float) -> None:
    start = float(tail().head.bias[0].detach())

    def judge(mixed: nn.Sequential) -> Score:
        return judged(abs(float(mixed.head.bias[0].detach()) - start - best))

    found = blend(tail(), moved(1.0), judge)
    assert found.share == best
    assert found.score.loss == pytest.approx(0, abs=1e-6)
    assert float(found.tail.head.bias[0].detach()) == pytest.approx(start + best)


def test_of_equal_points_the_one_nearest_to_the_step_is_taken() -> None:
    assert blend(tail(), moved(1.0), lambda mixed: judged(0.5)).share == 1.0


def test_points_that_give_no_numbers_are_passed_over() -> None:
    def judge(mixed: nn.Sequential) -> Score:
        if float(mixed.head.bias[0].detach()) - float(tail().head.bias[0].detach()) > 0.3:
            raise Diverged("no finite numbers")
        return judged(0.5)

    assert blend(tail(), moved(1.0), judge).share == 0.25


def test_a_line_without_numbers_is_told() -> None:
    with pytest.raises(Diverged):
        blend(tail(), moved(math.nan), lambda mixed: (_ for _ in ()).throw(Diverged("none")))
