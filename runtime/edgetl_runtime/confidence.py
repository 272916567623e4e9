"""What confidence is worth: its error without the temperature, and what a threshold answers and gets right.

Arrays in, figures out: it knows neither sessions nor receipts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.metrics import Figure, expected_calibration_error
from edgetl_runtime.statistics import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

__all__ = ["confidence_figures", "without_temperature"]

_LEAST = float(np.finfo(np.float32).smallest_subnormal)  # what is less was rounded to zero


def confidence_figures(
    right: Bools, confidence: Floats, untempered: Floats, reject_below: float | None
) -> dict[str, Figure]:
    """Return the figures of the confidence of pictures with one label each.

    Args:
        right: (n,) whether the most probable class is the target.
        confidence: (n,) the highest probability. untempered: (n,) the same as `without_temperature` gives it.
        reject_below: answers of less confidence are rejected; None rejects none.
    """
    error = expected_calibration_error(right, untempered)
    name = "calibration_error_before_temperature"
    found = {name: Figure(name, error.value, error.low, error.high, error.n)}
    if reject_below is None:
        return found
    answered = confidence >= reject_below
    found["answered"] = _share("answered", int(answered.sum()), len(answered))
    if answered.any():
        kept = int((right & answered).sum())
        found["precision_of_answers"] = _share("precision_of_answers", kept, int(answered.sum()))
    return found


def without_temperature(shares: NDArray[Any], temperature: float) -> float:
    """Return the confidence that the logits behind the probabilities (classes,) have without a temperature.

    Probabilities are softmax(logits / T), so that T times their logarithms are the logits but for a constant.
    """
    logits = temperature * np.log(np.maximum(shares.astype(np.float64), _LEAST))
    return float(1 / np.exp(logits - logits.max()).sum())


def _share(name: str, k: int, n: int) -> Figure:
    interval = wilson(k, n)
    return Figure(name, k / n, min(k / n, interval.low), max(k / n, interval.high), n)
