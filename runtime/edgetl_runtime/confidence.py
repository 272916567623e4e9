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

__all__ = ["threshold_figures", "untempered_figures"]

_LEAST = float(np.finfo(np.float32).smallest_subnormal)  # what is less was rounded to zero


def untempered_figures(right: Bools, shares: NDArray[Any], temperature: float) -> dict[str, Figure]:
    """Return the calibration error that confidence has without its temperature; one label for each picture.

    Args:
        right: (n,) whether the most probable class is the target.
        shares: (n, classes) probabilities, at this temperature.
    """
    found = expected_calibration_error(right, _untempered(shares, temperature))
    name = "calibration_error_before_temperature"
    return {name: Figure(name, found.value, found.low, found.high, found.n)}


def threshold_figures(
    right: Bools, confidence: NDArray[Any], reject_below: float | None
) -> dict[str, Figure]:
    """Return the share of pictures that a threshold answers, and of these the share that is right.

    Args:
        right: (n,) whether the most probable class is the target.
        confidence: (n,) its probability.
        reject_below: answers of less confidence are rejected; None rejects none, and there are no figures.
    """
    if reject_below is None:
        return {}
    answered = confidence >= reject_below
    found = {"answered": _share("answered", int(answered.sum()), len(answered))}
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
