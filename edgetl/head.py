"""The head is solved, not trained: logistic regression on cached features. Knows no network and no picture.

The solution is folded into a plain linear layer, so what ships needs no standardisation. Where a class has
fewer than five pictures there is too little to fit weights to, and the head is made of class centroids.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from edgetl.scoring import Score, compare, score
from edgetl.task import TASKS
from edgetl_runtime.pictures import Task

# Inverse strengths of the L2 penalty on standardised features; the best has been inside so far.
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_ITERATIONS = 300
_STD_FLOOR = 0.3
# Standard errors of a paired difference that prove it (ours).
_PROOF = 2
# Pictures of the smallest class; and pictures to choose by, below which nothing is proven (ours).
FEWEST_TO_FIT, _FEWEST_TO_PROVE = 5, 20
# What the cosines of centroids are multiplied by: softmax is then neither flat nor sure (ours).
_SHARPNESS = 10.0


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer: logits = features @ weight.T + bias.

    weight: (classes, width) float32. bias: (classes,) float32. c: the inverse strength it was solved with,
    None for centroids.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    c: float | None

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
    views: int = 1,
    progress: Callable[[float, Score], None] | None = None,
) -> Head:
    """Solve heads over a grid of penalties and return the strongest penalised of those that score best.

    A head scores as well as the best one when its loss on the choosing pictures is within one standard error
    of that one's, the error being that of the paired difference (Hastie et al., section 7.10). What these
    pictures cannot tell apart is so decided for small weights, which generalise and quantise better.
    The grid begins at the strongest penalty and ends after one that is proven to be too weak: those that
    would follow fit the training pictures closer still, and take the longest.

    Below `FEWEST_TO_FIT` pictures of the smallest class, centroids take the place of that head, unless enough
    choosing pictures prove it to be better: one rare class among large ones is no reason to give it up.

    Args:
        train: a row for each picture and view.
        choose: validation pictures, one row each.
        weights: of the classes, (classes,).
        views: rows of each picture.
    """
    rules = TASKS[task]
    mean, std = train.features.mean(axis=0), floored(train.features.std(axis=0))
    standard = Labelled((train.features - mean) / std, train.targets)
    heads, scores = [], []
    for c in C_GRID:
        heads.append(_unstandardised(_SOLVERS[task](standard, weights, c), mean, std, c))
        scores.append(score(heads[-1](choose.features), choose.targets, rules, weights))
        if progress is not None:
            progress(c, scores[-1])
        if _is_too_weak(scores):
            break
    place = first_within_error(scores)
    if task != "single_label" or _smallest(train) / views >= FEWEST_TO_FIT:
        return heads[place]
    centroids = class_centroids(train, len(weights))
    gap = compare(score(centroids(choose.features), choose.targets, rules, weights), scores[place])
    is_proven = len(choose.targets) >= _FEWEST_TO_PROVE and gap.gain > _PROOF * gap.error
    return heads[place] if is_proven else centroids


def class_centroids(train: Labelled, classes: int) -> Head:
    """Answer with the class whose centroid a picture points to, seen from the middle between the classes.

    Rows and centroids count by their direction, so that no picture of few outweighs the others; a class
    without any picture lies below those at a right angle.
    """
    present = np.unique(train.targets)
    middle = np.mean([train.features[train.targets == one].mean(axis=0) for one in present], axis=0)
    weight, bias = np.zeros((classes, len(middle))), np.full(classes, -_SHARPNESS)
    distance = 0.0
    for one in present:
        rows = train.features[train.targets == one] - middle
        lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        centroid = (rows / lengths).mean(axis=0)
        weight[one] = centroid / max(float(np.linalg.norm(centroid)), 1e-12)
        distance += float(lengths.sum()) / len(train.features)
    weight *= _SHARPNESS / distance
    bias[present] = -(weight @ middle)[present]
    return Head(weight.astype(np.float32), bias.astype(np.float32), None)


def _smallest(train: Labelled) -> int:
    """Count the rows of the smallest class that has any."""
    return int(np.unique(train.targets, return_counts=True)[1].min())


def first_within_error(scores: Sequence[Score]) -> int:
    """Return the place of the first score whose loss is within one standard error of the lowest."""
    best = min(scores, key=lambda one: one.loss)
    gaps = [compare(one, best) for one in scores]
    return next(place for place, gap in enumerate(gaps) if gap.gain <= gap.error)


def _is_too_weak(scores: Sequence[Score]) -> bool:
    """Tell whether the last penalty is proven worse than the best so far."""
    gap = compare(scores[-1], min(scores, key=lambda one: one.loss))
    return gap.gain > _PROOF * gap.error


def floored(std: NDArray[Any]) -> NDArray[Any]:
    """Return each feature's standard deviation, or a share of the features' mean one where that is larger.

    A feature that hardly varies would get a weight of hundreds beside others of one: it adds no accuracy, it
    amplifies every rounding behind it, and one such weight leaves int8 no steps for the others.
    """
    floor = _STD_FLOOR * np.sqrt(np.mean(np.square(std)))
    raised: NDArray[Any] = np.maximum(std, max(float(floor), 1e-6))
    return raised


Linear = tuple[NDArray[Any], NDArray[Any]]


def _single(train: Labelled, weights: NDArray[np.float32], c: float) -> Linear:
    """Solve the multinomial problem; the one row that sklearn gives two classes becomes ∓ a half of it."""
    model = LogisticRegression(C=c, class_weight=dict(enumerate(weights.tolist())), max_iter=_ITERATIONS)
    _fit(model, train.features, train.targets)
    if len(model.coef_) > 1:
        return model.coef_, model.intercept_
    signs = np.array([[-0.5], [0.5]])
    return model.coef_ * signs, (model.intercept_ * signs)[:, 0]


def _multi(train: Labelled, weights: NDArray[np.float32], c: float) -> Linear:
    """Solve one problem for each label."""
    solved = [_label(train.features, train.targets[:, n] > 0.5, w, c) for n, w in enumerate(weights.tolist())]
    coefficients, intercepts = zip(*solved, strict=True)
    return np.stack(coefficients), np.array(intercepts)


def _label(
    features: NDArray[Any], present: NDArray[np.bool_], weight: float, c: float
) -> tuple[NDArray[Any], float]:
    """Solve one label; where every picture has it, or none, the odds are constant (rule of succession)."""
    with_it = int(present.sum())
    without_it = len(present) - with_it
    if min(with_it, without_it) == 0:
        return np.zeros(features.shape[1]), float(np.log((with_it + 1) / (without_it + 1)))
    model = LogisticRegression(C=c, class_weight={0: 1.0, 1: weight}, max_iter=_ITERATIONS)
    _fit(model, features, present)
    return model.coef_[0], float(model.intercept_[0])


def _fit(model: LogisticRegression, features: NDArray[Any], targets: NDArray[Any]) -> None:
    """Fit on one thread. A weakly penalised head may stay unfinished: validation says what it is worth."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, targets)


_SOLVERS: dict[Task, Callable[[Labelled, NDArray[np.float32], float], Linear]] = {
    "single_label": _single,
    "multi_label": _multi,
}


def _unstandardised(linear: Linear, mean: NDArray[Any], std: NDArray[Any], c: float) -> Head:
    weight = linear[0] / std
    bias = linear[1] - weight @ mean
    return Head(weight.astype(np.float32), bias.astype(np.float32), c)
