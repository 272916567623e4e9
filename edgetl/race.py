"""A short race of learning rates: which one gets furthest in a small share of a step.

Successive halving (Jamieson and Talwalkar 2016) over three rates that lie half a decade apart: all run a lap,
the worst leaves, the others run one more. Each lap has a schedule of its own, warm-up and cosine to zero,
since a rate is judged by where it ends and not by the noise that it makes on the way. Laps are so short that
they still flatter small rates: what the choosing pictures cannot tell apart is decided for the middle rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from edgetl.loop import batches_per_epoch
from edgetl.scoring import Score, compare
from edgetl.tail import Diverged, StepData, choosing_score
from edgetl.tuner import Tuner, Tuning, learning_rate_factor

# What suited two sets on which the solved head was wrong for a fifth of the pictures.
_PRIOR = 5e-4
# A head that is wrong more often has further to go: half a decade more at twice that error (ours, after the
# correlation of the gap with the best rate in 48 trainings of microsoft/robust-models-transfer).
_KNOWN_ERROR = 0.2
_RATIO = math.sqrt(10)
_SHARE = 0.15
_LAPS = 5  # Three in the first round, two in the second.
_FEWEST_BATCHES = 3
_FORWARD = 1 / 3  # Of the cost of a training step.


@dataclass(frozen=True, slots=True)
class Contender:
    """A rate and its validation loss in nats after each lap; None where it diverged."""

    rate: float
    losses: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Race:
    """What became of a race: the rate that won, and how."""

    winner: float
    contenders: tuple[Contender, ...]


def prior_rate(error: float) -> float:
    """Return the rate that a head with this error, 0–1, on validation suggests."""
    excess = min(1.0, max(0.0, (error - _KNOWN_ERROR) / _KNOWN_ERROR))
    return float(_PRIOR * _RATIO**excess)


def candidate_rates(prior: float) -> tuple[float, float, float]:
    """Return half a decade less, the prior, and half a decade more."""
    return prior / _RATIO, prior, prior * _RATIO


def lap_batches(data: StepData, batch_size: int, epochs: int) -> int:
    """Return how many batches a lap has so that the race takes 15 % of the step; 0 when that is too short.

    Looking at the choosing pictures after each lap is part of the price.
    """
    whole = epochs * batches_per_epoch(len(data.targets), batch_size)
    looks = _LAPS * _FORWARD * len(data.choose) / batch_size
    batches = int((_SHARE * whole - looks) / _LAPS)
    return batches if batches >= _FEWEST_BATCHES else 0


def race(tail: nn.Sequential, data: StepData, tuning: Tuning, rates: Sequence[float], batches: int) -> Race:
    """Let rates race from the same tail over the same batches; the lowest validation loss wins.

    The middle rate wins as well when it is still running and within one standard error, that of the paired
    difference.

    Raises:
        Diverged: no rate gives finite numbers.
    """
    runners = {rate: _Runner(tail, data, replace(tuning, learning_rate=rate)) for rate in rates}
    field = list(rates)
    for lap in range(len(rates) - 1):
        for rate in field:
            runners[rate].run(lap, batches)
        field = sorted(field, key=lambda rate: runners[rate].loss)[: len(rates) - 1 - lap]
    best, middle = runners[field[0]], rates[len(rates) // 2]
    if best.score is None:
        tried = ", ".join(f"{rate:g}" for rate in rates)
        lowest = runners[min(rates)].ended
        raise Diverged(f"No learning rate of {tried} gives finite numbers. At the lowest: {lowest}")
    told = tuple(Contender(rate, tuple(map(_finite, runners[rate].losses))) for rate in rates)
    return Race(middle if _ties(runners[middle], best) else field[0], told)


class _Runner:
    """One rate's tail, on its way. ended: where its numbers ceased to be finite, or the empty text."""

    def __init__(self, tail: nn.Sequential, data: StepData, tuning: Tuning) -> None:
        self._tuner, self._data, self._tuning = Tuner(tail, data, tuning), data, tuning
        self.losses: list[float] = []
        self.score: Score | None = None
        self.ended = ""

    @property
    def loss(self) -> float:
        """The validation loss after the last lap; infinite once it diverged."""
        return self.losses[-1]

    def run(self, lap: int, batches: int) -> None:
        """Run one lap over batches that are the same for every rate."""
        generator = np.random.default_rng([self._tuning.seed, len(self._tuner.tail), 0, lap])
        try:
            for number in range(batches):
                chosen = generator.choice(len(self._data.targets), self._size(), replace=False)
                factor = learning_rate_factor(number, batches, self._tuning.warmup)
                loss = self._tuner.learn(chosen, generator, factor, lap * batches + number)
                if not math.isfinite(loss):
                    place = f"lap {lap + 1}, batch {number + 1} of {batches}"
                    raise Diverged(f"The loss is {loss} in {place}. Name a lower --learning-rate.")
            self.score = choosing_score(self._tuner.average, self._data)
            self.losses.append(self.score.loss)
        except Diverged as error:
            self.ended = self.ended or str(error)
            self.score = None
            self.losses.append(math.inf)

    def _size(self) -> int:
        return min(self._tuning.batch_size, len(self._data.targets))


def _ties(middle: _Runner, best: _Runner) -> bool:
    """Tell whether the middle rate ran as far as the best, and ended within one standard error of it."""
    if middle.score is None or best.score is None or len(middle.losses) < len(best.losses):
        return False
    difference = compare(middle.score, best.score)
    return difference.gain <= difference.error


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
