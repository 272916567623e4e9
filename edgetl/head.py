"""The head is solved, not trained: logistic regression on cached features. Knows no network and no picture.

The solution is folded into a plain linear layer, so what ships needs no standardisation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from edgetl.scoring import Score, score
from edgetl.task import TASKS
from edgetl_runtime.pictures import Task

# Inverse strengths of the L2 penalty on standardised features; the best has been inside so far.
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_ITERATIONS = 300


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer: logits = features @ weight.T + bias.

    weight: (classes, width) float32. bias: (classes,) float32. c: the inverse strength it was solved with.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    c: float

    def __call__(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Turn features, (n, width), into logits, (n, classes)."""
        logits: NDArray[np.float32] = features.astype(np.float32) @ self.weight.T + self.bias
        return logits


@dataclass(frozen=True, slots=True)
class Labelled:
    """Features, (n, width), with the targets of their pictures."""

    features: NDArray[Any]
    targets: NDArray[Any]


def solve_head(
    train: Labelled,
    choose: Labelled,
    *,
    task: Task,
    weights: NDArray[np.float32],
    progress: Callable[[float, Score], None] | None = None,
) -> Head:
    """Solve heads over a grid of penalties and return the one with the best score on the choosing pictures.

    Args:
        train: a row for each picture and view.
        choose: validation pictures, one row each.
        weights: of the classes, (classes,).
    """
    rules = TASKS[task]
    mean, std = train.features.mean(axis=0), train.features.std(axis=0) + 1e-6
    standard = Labelled((train.features - mean) / std, train.targets)
    best: tuple[float, Head] | None = None
    for c in C_GRID:
        head = _unstandardised(_SOLVERS[task](standard, weights, c), mean, std, c)
        found = score(head(choose.features), choose.targets, rules, weights)
        if progress is not None:
            progress(c, found)
        if best is None or found.loss < best[0]:
            best = found.loss, head
    assert best is not None
    return best[1]


Linear = tuple[NDArray[Any], NDArray[Any]]


def _single(train: Labelled, weights: NDArray[np.float32], c: float) -> Linear:
    """Solve the multinomial problem; the one row that sklearn gives two classes becomes ∓ a half of it."""
    model = LogisticRegression(C=c, class_weight=dict(enumerate(weights.tolist())), max_iter=_ITERATIONS)
    with threadpool_limits(1):
        model.fit(train.features, train.targets)
    if len(model.coef_) > 1:
        return model.coef_, model.intercept_
    signs = np.array([[-0.5], [0.5]])
    return model.coef_ * signs, (model.intercept_ * signs)[:, 0]


def _multi(train: Labelled, weights: NDArray[np.float32], c: float) -> Linear:
    """Solve one problem for each label."""
    coefficients, intercepts = [], []
    with threadpool_limits(1):
        for number, weight in enumerate(weights.tolist()):
            model = LogisticRegression(C=c, class_weight={0: 1.0, 1: weight}, max_iter=_ITERATIONS)
            model.fit(train.features, train.targets[:, number] > 0.5)
            coefficients.append(model.coef_[0])
            intercepts.append(model.intercept_[0])
    return np.stack(coefficients), np.array(intercepts)


_SOLVERS: dict[Task, Callable[[Labelled, NDArray[np.float32], float], Linear]] = {
    "single_label": _single,
    "multi_label": _multi,
}


def _unstandardised(linear: Linear, mean: NDArray[Any], std: NDArray[Any], c: float) -> Head:
    weight = linear[0] / std
    bias = linear[1] - weight @ mean
    return Head(weight.astype(np.float32), bias.astype(np.float32), c)
