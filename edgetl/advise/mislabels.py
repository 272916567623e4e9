"""Pictures that probably have a wrong label, by confident learning on features. Knows no picture.

Northcutt, Jiang, Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70 (2021),
1373-1411. Each picture gets the probabilities of a model that has not seen it. The confident joint estimates
how many labels are wrong, and the margins say which (the paper's prune by noise rate).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

_FOLDS = 5
# Of the logits, a priori: C is this over the width, so that wide and narrow features are trusted alike.
_VARIANCE = 12.8
# Ours: on solar cells, where frozen features are right on 70 %, every sixth label was doubted without it.
MIN_MARGIN = 0.5
# A class needs a picture in each fold, and enough besides to learn it from.
FEWEST_PER_CLASS = 2 * _FOLDS


@dataclass(frozen=True, slots=True)
class Mislabel:
    """A picture whose label is doubted.

    row: its place among the features. given, suggested: numbers of classes. margin: probability of the
    suggested class less that of the given one, in [`MIN_MARGIN`, 1].
    """

    row: int
    given: int
    suggested: int
    margin: float


def find_mislabels(features: NDArray[Any], labels: NDArray[np.int64], seed: int = 0) -> list[Mislabel]:
    """Find the doubtful labels, the most doubtful first; classes that are too small are trusted."""
    counts = np.bincount(labels)
    rows = np.flatnonzero(counts[labels] >= FEWEST_PER_CLASS)
    known = np.unique(labels[rows])
    if len(known) < 2:
        return []
    places = np.searchsorted(known, labels[rows])
    found = doubt(out_of_fold(features[rows], places, seed), places)
    return [
        Mislabel(int(rows[one.row]), int(known[one.given]), int(known[one.suggested]), one.margin)
        for one in found
    ]


def out_of_fold(features: NDArray[Any], labels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return the probabilities, (n, classes), that each picture gets from a model of the other folds."""
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    x = (features - mean) / np.maximum(std, 0.3 * np.sqrt(np.mean(np.square(std))) + 1e-9)
    probabilities = np.zeros((len(x), int(labels.max()) + 1))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(x, labels):
        model = LogisticRegression(C=_VARIANCE / x.shape[1], max_iter=200, tol=1e-3)
        with threadpool_limits(1):
            probabilities[test] = model.fit(x[train], labels[train]).predict_proba(x[test])
    return probabilities


def doubt(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> list[Mislabel]:
    """List as many pictures as the confident joint counts off its diagonal, those of the largest margin.

    Args:
        probabilities: (n, classes), of models that have not seen the pictures. labels: (n,), as given.
    """
    margins = probabilities - probabilities[np.arange(len(labels)), labels][:, None]
    counts = np.round(confident_joint(probabilities, labels)).astype(np.int64)
    found = []
    for given, suggested in np.argwhere(counts).tolist():  # On the diagonal margins are 0.
        rows = np.flatnonzero((labels == given) & (margins[:, suggested] >= MIN_MARGIN))
        ordered = rows[np.argsort(-margins[rows, suggested], kind="stable")]
        likeliest = ordered[: counts[given, suggested]]
        found += [Mislabel(int(row), given, suggested, float(margins[row, suggested])) for row in likeliest]
    return sorted(found, key=lambda one: -one.margin)


def confident_joint(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Estimate how many pictures of each given class are of each class, (classes, classes).

    Pictures count as the class for which they are as probable as its own are on average; rows are then
    scaled to the given counts (the paper's equations 1 and 3).
    """
    classes = probabilities.shape[1]
    own = np.array([probabilities[labels == one, one].mean() for one in range(classes)])
    confident = np.where(probabilities >= own, probabilities, -1.0)
    counted = np.flatnonzero(confident.max(axis=1) >= 0)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted], confident[counted].argmax(axis=1)), 1)
    sums = joint.sum(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = (
        joint * np.bincount(labels, minlength=classes)[:, None] / np.maximum(sums, 1)
    )
    return scaled
