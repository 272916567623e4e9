"""Answers of two models to the same pictures, and the bootstrap in its plainest form to compare with."""

import numpy as np
from receipt_factories import tiny_predictions, tiny_receipt

from edgetl_runtime.pairing import pair


def answers(seed, n=600, classes=3):
    """Targets and two related answers with their confidences."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, n)
    before = np.where(rng.random(n) < 0.85, target, rng.integers(0, classes, n))
    after = np.where(rng.random(n) < 0.9, before, rng.integers(0, classes, n))
    return target, before, after, rng.beta(6, 2, n), rng.beta(5, 2, n)


def pair_of(target, before, after, first=None, second=None, classes=3):
    """Pair two receipts with these answers and confidences."""
    names = tuple(f"c{k}" for k in range(classes))
    sides = ((before, first), (after, second))
    return pair(
        *(
            tiny_receipt(tiny_predictions(target, some, classes=classes, confidence=share), classes=names)
            for some, share in sides
        )
    )


def by_drawing_pictures(n, statistic, rng, times=1_500):
    """Return the ends of the 90 % interval of a statistic of the rows that are drawn."""
    drawn = [statistic(rng.integers(0, n, n)) for _ in range(times)]
    return np.quantile(drawn, [0.05, 0.95])
