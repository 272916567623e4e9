"""How near a task is to what a backbone has learned: what its features are worth beyond random ones.

A network of random weights is already a bank of filters, see `random_features`. Only what pretrained features
answer better than those is transfer; the difference is paired by picture, so its interval needs few of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.advise import neighbours
from edgetl.advise import ridge as ridges
from edgetl.advise.reference import LayerDistance
from edgetl.advise.sample import Features
from edgetl_runtime.statistics import tango

_SHALLOW, _DEEP = 1 / 3, 2 / 3


@dataclass(frozen=True, slots=True)
class Lift:
    """How much more often pretrained features are right than random ones, leaving one picture out.

    pretrained, random: accuracies, 0–1. value: their difference, with the 95 % interval low to high.
    """

    pretrained: float
    random: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Similarity:
    """What the backbone's features are worth on these pictures.

    n: pictures compared. chance: accuracy of always naming the largest class. signal_p: p-value of the
    features against shuffled labels. random_signal_p: the same of random features. distances: from the
    pretraining pictures, input to output; empty where no reference ships.
    """

    n: int
    chance: float
    knn: Lift
    ridge: Lift
    signal_p: float
    random_signal_p: float
    distances: tuple[LayerDistance, ...]

    @property
    def shallow(self) -> float | None:
        """Mean distance in the first third of the network; None without a reference."""
        return _mean([one.distance for one in self.distances if one.depth <= _SHALLOW])

    @property
    def deep(self) -> float | None:
        """Mean distance in the last third."""
        return _mean([one.distance for one in self.distances if one.depth >= _DEEP])


def similarity(
    pretrained: Features, random: Features, distances: tuple[LayerDistance, ...], seed: int = 0
) -> Similarity:
    """Compare features of the same pictures, in the same order, from both networks."""
    solved, drawn = ridges.Ridge(pretrained.values), ridges.Ridge(random.values)
    return Similarity(
        n=len(pretrained.values),
        chance=_chance(pretrained),
        knn=_lift(right_by_neighbours(pretrained), right_by_neighbours(random)),
        ridge=_lift(right_by_ridge(pretrained, solved), right_by_ridge(random, drawn)),
        signal_p=solved.signal_p_value(pretrained.targets, seed=seed),
        random_signal_p=drawn.signal_p_value(random.targets, seed=seed),
        distances=distances,
    )


def right_by_neighbours(features: Features) -> NDArray[np.bool_]:
    """Tell for each picture, (n,), whether the 10 nearest others vote right."""
    share = neighbours.votes(neighbours.nearest_others(features.values), features.targets)
    return neighbours.decide(share, features.targets, several=features.several)


def right_by_ridge(features: Features, solved: ridges.Ridge) -> NDArray[np.bool_]:
    """Tell for each picture, (n,), whether ridge regression without it is right."""
    values = solved.best_values(features.targets)
    return ridges.decide(values, features.targets, several=features.several)


def _lift(pretrained: NDArray[np.bool_], random: NDArray[np.bool_]) -> Lift:
    n = len(pretrained)
    won, lost = int((pretrained & ~random).sum()), int((random & ~pretrained).sum())
    interval = tango(won, lost, n)
    return Lift(float(pretrained.mean()), float(random.mean()), (won - lost) / n, interval.low, interval.high)


def _chance(features: Features) -> float:
    if features.several:
        _, counts = np.unique(features.targets, axis=0, return_counts=True)
        return float(counts.max() / len(features.targets))
    return float(features.targets.mean(axis=0).max())


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None
