"""The head of more rows than memory should hold: solved on a part, then on all, a block at a time.

What `head.solve_head` finds on the part chooses the penalty and is where L-BFGS begins; every later pass
reads all rows from the cache once. The problem is that of scikit-learn's `LogisticRegression`,
½ |W|² + C Σ w · loss with free intercepts, on standardised features, so the result is the same.
All rows are taken only where they do better on the choosing pictures than the part.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from edgetl.cache import Rows
from edgetl.head import Head, Labelled, floored, solve_head
from edgetl.scoring import score
from edgetl.task import TASKS
from edgetl_runtime.pictures import Task

# Of float32 features at once; solving takes about three times as much.
MOST_BYTES = 512 << 20
# No class of the part has fewer pictures than this, if it has them.
_FEWEST_OF_A_CLASS = 100
_BLOCK_ROWS = 16_384
_ITERATIONS, _TOLERANCE = 100, 1e-4

Floats = NDArray[np.float64]


def solve_rows(
    views: Sequence[Rows],
    targets: NDArray[Any],
    choose: Labelled,
    *,
    task: Task,
    weights: NDArray[np.float32],
    most_bytes: int = MOST_BYTES,
) -> Head:
    """Solve the head on cached features, in memory that does not grow with them.

    Args:
        views: rows of features for each view of the training pictures. targets: of the pictures.
        choose: as `solve_head` takes it. weights: of the classes, (classes,).
        most_bytes: of features that may be solved on at once.
    """
    width = views[0].array.shape[1]
    total = 4 * width * len(targets) * len(views)
    places = _part(targets, task, math.ceil(total / most_bytes))
    part = Labelled(
        np.concatenate([view.take(places) for view in views]).astype(np.float32),
        np.concatenate([targets[places]] * len(views)),
    )
    head = solve_head(part, choose, task=task, weights=weights, views=len(views))
    if len(places) == len(targets) or head.c is None:
        return head
    problem = Problem.of(task, weights, head.c)
    refined = refine(head, problem, _blocks(views, targets))
    rules = TASKS[task]
    of_part, of_all = (score(one(choose.features), choose.targets, rules, weights) for one in (head, refined))
    return refined if of_all.loss <= of_part.loss else head


def _part(targets: NDArray[Any], task: Task, stride: int) -> NDArray[np.int64]:
    """Return the places of every so many pictures, of a rare class more, in rising order."""
    if stride == 1 or task != "single_label":
        return np.arange(0, len(targets), stride)
    found = []
    for one in np.unique(targets):
        places = np.flatnonzero(targets == one)
        found.append(places[:: max(1, min(stride, len(places) // _FEWEST_OF_A_CLASS))])
    return np.sort(np.concatenate(found))


def _blocks(views: Sequence[Rows], targets: NDArray[Any]) -> "Blocks":
    def read() -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
        for view in views:
            for start in range(0, len(view), _BLOCK_ROWS):
                chosen = np.arange(start, min(start + _BLOCK_ROWS, len(view)))
                yield view.take(chosen).astype(np.float32), targets[chosen]

    return read


Blocks = Callable[[], Iterator[tuple[NDArray[np.float32], NDArray[Any]]]]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is minimised. c: scikit-learn's, for weights of all classes, also of two."""

    task: Task
    weights: NDArray[np.float32]
    c: float

    @classmethod
    def of(cls, task: Task, weights: NDArray[np.float32], c: float) -> "Problem":
        """Two classes have two opposite rows here and one of twice the length there: |W|² is half of that."""
        return cls(task, weights, c / 2 if task == "single_label" and len(weights) == 2 else c)

    def loss(self, logits: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, NDArray[np.float32]]:
        """Return the weighted loss of a block, a sum, and its gradient by the logits."""
        if self.task == "single_label":
            return self._single(logits, targets)
        shares = 1 / (1 + np.exp(-logits))
        weights = np.where(targets > 0.5, self.weights, 1)
        losses = weights * (np.logaddexp(0, logits) - targets * logits)
        return float(losses.sum(dtype=np.float64)), (weights * (shares - targets)).astype(np.float32)

    def _single(
        self, logits: NDArray[np.float32], targets: NDArray[Any]
    ) -> tuple[float, NDArray[np.float32]]:
        places, weights = np.arange(len(targets)), self.weights[targets]
        logits = logits - logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        total = powers.sum(axis=1)
        losses = weights * (np.log(total) - logits[places, targets])
        gradient = powers / total[:, None]
        gradient[places, targets] -= 1
        return float(losses.sum(dtype=np.float64)), gradient * weights[:, None]


def refine(head: Head, problem: Problem, blocks: Blocks) -> Head:
    """Go on from a head to the solution on all blocks."""
    rows, mean, std = _moments(blocks)
    classes, width = head.weight.shape
    start = np.concatenate([head.weight * std, (head.bias + head.weight @ mean)[:, None]], axis=1)
    scale = 1 / rows  # So that the tolerance means the same for every size.

    def value(flat: Floats) -> tuple[float, Floats]:
        linear = flat.reshape(classes, width + 1)
        weight, bias = linear[:, :-1].astype(np.float32), linear[:, -1].astype(np.float32)
        total, slope = 0.0, np.zeros_like(linear)
        for features, targets in blocks():
            standard = (features - mean) / std
            loss, gradient = problem.loss((standard @ weight.T + bias).astype(np.float32), targets)
            total += loss
            slope[:, :-1] += gradient.T @ standard
            slope[:, -1] += gradient.sum(axis=0)
        slope *= problem.c
        slope[:, :-1] += linear[:, :-1]
        penalty = 0.5 * float(np.square(linear[:, :-1]).sum())
        return scale * (problem.c * total + penalty), scale * slope.ravel()

    options = {"maxiter": _ITERATIONS, "gtol": _TOLERANCE * problem.c}
    found = minimize(value, start.astype(np.float64).ravel(), jac=True, method="L-BFGS-B", options=options)
    linear = found.x.reshape(classes, width + 1)
    weight = linear[:, :-1] / std
    bias = linear[:, -1] - weight @ mean
    return Head(weight.astype(np.float32), bias.astype(np.float32), head.c)


def _moments(blocks: Blocks) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
    """Return the number of rows, and mean and floored deviation of each feature."""
    rows, sums, squares = 0, 0.0, 0.0
    for features, targets in blocks():
        rows += len(targets)
        sums = sums + features.sum(axis=0, dtype=np.float64)
        squares = squares + np.square(features, dtype=np.float64).sum(axis=0)
    mean = np.asarray(sums / rows)
    std = floored(np.sqrt(np.maximum(squares / rows - np.square(mean), 0)))
    return rows, mean.astype(np.float32), std.astype(np.float32)
