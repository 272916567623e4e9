"""How good logits are on the pictures that choose, and whether one model is better than another there.

The score is the cross entropy after the one temperature that suits the logits best, each class counting as
the training weighed it: smooth where accuracy jumps by whole pictures, and blind to the flat logits that
label smoothing leaves.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from edgetl.task import TaskRules
from edgetl_runtime.statistics import mcnemar_exact

_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Score:
    """What the choosing pictures say of a model.

    loss: weighted mean cross entropy in nats at `temperature`. losses: (n,) of each picture, times its weight
    and with mean `loss`. correct: (n,) bool. accuracy: share of the correct ones, 0–1.
    balanced_accuracy: mean recall of the classes, 0–1; of multi-label pictures, the accuracy.
    """

    loss: float
    losses: NDArray[np.float64]
    correct: NDArray[np.bool_]
    temperature: float
    balanced_accuracy: float

    @property
    def accuracy(self) -> float:
        """Share of the correct pictures, 0–1."""
        return float(self.correct.mean())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether a candidate replaces the best so far.

    gain: decrease of the score's loss in nats; error: its standard error over pictures; reason: in words.
    """

    keep: bool
    gain: float
    error: float
    reason: str


def score(logits: NDArray[Any], targets: NDArray[Any], rules: TaskRules, weights: NDArray[Any]) -> Score:
    """Score logits, (n, classes), on pictures with these targets, under weights of the classes."""
    temperature = fit_temperature(logits, targets, rules)
    by_picture = rules.picture_weights(targets, weights).astype(np.float64)
    losses = rules.log_losses(logits / temperature, targets) * by_picture / by_picture.mean()
    correct = rules.correct(logits, targets)
    return Score(float(losses.mean()), losses, correct, temperature, _balanced(correct, targets))


def compare(best: Score, candidate: Score) -> Comparison:
    """Keep a candidate whose loss is lower, unless a paired test on the answers speaks against it."""
    if not np.isfinite(candidate.losses).all():
        return Comparison(False, -math.inf, 0.0, "loss on validation is not a number")
    differences = best.losses - candidate.losses
    gain, error = float(differences.mean()), float(differences.std() / np.sqrt(len(differences)))
    lost = int((best.correct & ~candidate.correct).sum())
    won = int((candidate.correct & ~best.correct).sum())
    if gain <= 0:
        return Comparison(False, gain, error, f"loss on validation rises by {abs(gain):.4f} ± {error:.4f}")
    if lost > won and mcnemar_exact(lost, won) < _ALPHA:
        return Comparison(False, gain, error, f"answers get worse: {lost} lost, {won} won")
    return Comparison(True, gain, error, f"loss on validation falls by {gain:.4f} ± {error:.4f}")


def fit_temperature(logits: NDArray[Any], targets: NDArray[Any], rules: TaskRules) -> float:
    """Find the temperature in [0.05, 20] that minimises the cross entropy (Guo et al. 2017, section 4.2)."""

    def loss(log_temperature: float) -> float:
        return float(rules.log_losses(logits / np.exp(log_temperature), targets).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def _balanced(correct: NDArray[np.bool_], targets: NDArray[Any]) -> float:
    if targets.ndim > 1:
        return float(correct.mean())
    return float(np.mean([correct[targets == number].mean() for number in np.unique(targets)]))
