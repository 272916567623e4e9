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

__all__ = ["confidence_figures"]

_LEAST = float(np.finfo(np.float32).smallest_subnormal)  # what is less was rounded to zero


def confidence_figures(
    right: Bools, shares: NDArray[Any], temperature: float, reject_below: float | None
) -> dict[str, Figure]:
    """Return the figures of the confidence of pictures with one label each.

    Args:
        right: (n,) whether the most probable class is the target.
        shares: (n, classes) probabilities, at this temperature.
        reject_below: answers of less confidence are rejected; None rejects none.
    """
    untempered = expected_calibration_error(right, _untempered(shares, temperature))
    name = "calibration_error_before_temperature"
    found = {name: Figure(name, untempered.value, untempered.low, untempered.high, untempered.n)}
    if reject_below is None:
        return found
    answered = shares.max(axis=1) >= reject_below
    found["answered"] = _share("answered", int(answered.sum()), len(answered))
    if answered.any():
        kept = int((right & answered).sum())
        found["precision_of_answers"] = _share("precision_of_answers", kept, int(answered.sum()))
    return found


def _untempered(shares: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Return the confidence (n,) that the logits have without a temperature.

    Probabilities are softmax(logits / T), so that T times their logarithms are the logits but for a constant.
    """
    logits = temperature * np.log(np.maximum(shares.astype(np.float64), _LEAST))
    highest: NDArray[np.float64] = 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    return highest


def _share(name: str, k: int, n: int) -> Figure:
    interval = wilson(k, n)
    return Figure(name, k / n, min(k / n, interval.low), max(k / n, interval.high), n)
