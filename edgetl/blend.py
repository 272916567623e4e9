"""Between the weights before a step and those after it there are often better ones than either.

WiSE-FT (Wortsman et al. 2022, section 3) interpolates them in a straight line. BatchNorm's buffers do not
move in a step, so they are the same at both ends and the line is safe.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from edgetl.scoring import Score
from edgetl.tail import Diverged, working_copy

# Of the way from before to after. At 0 lies the model that the step competes with anyhow.
SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Blend:
    """The best point of the line: its tail, its score, and its share of the way, in (0, 1]."""

    tail: nn.Sequential
    score: Score
    share: float


def blend(before: nn.Sequential, after: nn.Sequential, judge: Callable[[nn.Sequential], Score]) -> Blend:
    """Return the point of the line between two tails that scores best; of equals, the one nearest to `after`.

    Raises:
        Diverged: no point gives finite numbers.
    """
    found: Blend | None = None
    for share in reversed(SHARES):
        tail = interpolate(before, after, share)
        try:
            judged = judge(tail)
        except Diverged:
            if share == SHARES[0] and found is None:
                raise
            continue
        if found is None or judged.loss < found.score.loss:
            found = Blend(tail, judged, share)
    assert found is not None
    return found


def interpolate(before: nn.Sequential, after: nn.Sequential, share: float) -> nn.Sequential:
    """Return a tail whose parameters lie at this share of the way; 1 gives those of `after` bit for bit."""
    tail = working_copy(after)
    if share == 1.0:
        return tail
    with torch.no_grad():
        for mixed, start in zip(tail.parameters(), before.parameters(), strict=True):
            mixed.copy_(torch.lerp(start, mixed, share))
    return tail
