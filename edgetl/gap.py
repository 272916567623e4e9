"""How much better a model knows the pictures it learned from than pictures it never saw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgetl.cache import Rows
from edgetl.scoring import Score
from edgetl.tail import StepData, evaluate
from edgetl_runtime.statistics import wilson

# Of accuracy. Any model knows its training pictures better; ten points more are named overfitting (ours).
LIMIT = 0.10


@dataclass(frozen=True, slots=True)
class Gap:
    """Accuracy on some training pictures less that on as many choosing pictures, with its 95 % interval.

    n: pictures on either side. train, validation: accuracies, 0–1. low, high: of their difference.
    overfits: whether the whole interval is above `LIMIT`.
    """

    n: int
    train: float
    validation: float
    low: float
    high: float
    overfits: bool

    def sentence(self, of_head: bool = False) -> str:
        """Say in words that it overfits, and what may help the solved head, or a step of tuning."""
        remedies = " or --augment trivial" if of_head else ", --augment trivial, --dropout or fewer stages"
        return (
            f"overfitting: accuracy {self.train:.3f} on training pictures, {self.validation:.3f} on "
            f"validation, a gap of {self.low:.3f} to {self.high:.3f}. More pictures{remedies} may help."
        )


def measure_gap(tail: nn.Module, data: StepData, validation: Score, seed: int) -> Gap:
    """Measure the gap of a tail whose score on the choosing pictures is known."""
    correct = evaluate_sample(tail, data, len(validation.correct), seed)
    n = len(correct)
    chosen = np.random.default_rng([seed, 1]).permutation(len(validation.correct))[:n]
    return make_gap(int(correct.sum()), int(validation.correct[chosen].sum()), n)


def evaluate_sample(tail: nn.Module, data: StepData, most: int, seed: int) -> NDArray[np.bool_]:
    """Tell for each of a seeded sample of training pictures, as they are, whether the answer is right."""
    chosen = np.random.default_rng([seed, 0]).permutation(len(data.targets))[:most]
    rows = Rows(data.train[0].array, data.train[0].order[chosen])
    return evaluate(tail, rows, data.targets[chosen], data).correct


def make_gap(train: int, validation: int, n: int) -> Gap:
    """Compare two counts of right answers among n each: the interval of Newcombe 1998, method 10."""
    p, q = train / n, validation / n
    a, b = wilson(train, n), wilson(validation, n)
    low = p - q - float(np.hypot(p - a.low, b.high - q))
    high = p - q + float(np.hypot(a.high - p, q - b.low))
    return Gap(n, p, q, low, high, low > LIMIT)
