"""The temperature that makes logits probable, for whoever brings no function of their own. Numpy only."""

import math

import numpy as np

from edgetl_exporters.measure import cross_entropy
from edgetl_exporters.model import Floats, Targets
from edgetl_runtime.pictures import Task

_LEAST, _MOST = 0.05, 20.0
_STEPS = 60
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(task: Task, logits: Floats, targets: Targets) -> float:
    """Find the temperature in [0.05, 20] that minimises the cross entropy (Guo et al. 2017, section 4.2).

    The loss is convex in 1 / temperature, hence has one minimum, and golden-section search finds it.
    """

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(task, logits / np.exp(log_temperature), targets).mean())

    low, high = math.log(_LEAST), math.log(_MOST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return math.exp((low + high) / 2)
