"""What confidence is worth: its error without the temperature, and what a threshold answers and gets right.

Arrays in, figures out: it knows neither sessions nor receipts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.metrics import Figure, expected_calibration_error
from edgetl_runtime.statistics import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

__all__ = ["answer_figures", "calibration_before_temperature", "joined_answers", "without_temperature"]

_ANSWERED, _PRECISION = "answered", "precision_of_answers"
_LEAST = float(np.finfo(np.float32).smallest_subnormal)  # what is less was rounded to zero


def calibration_before_temperature(right: Bools, untempered: Floats) -> Figure:
    """Return the calibration error that the confidence has as `without_temperature` gives it.

    Args:
        right: (n,) whether the most probable class is the target. untempered: (n,) that confidence.
    """
    error = expected_calibration_error(right, untempered)
    return Figure("calibration_error_before_temperature", error.value, error.low, error.high, error.n)


def answer_figures(right: Bools, confidence: Floats, reject_below: float | None) -> dict[str, Figure]:
    """Return the share of pictures that are answered, and of the answers that are right.

    Args:
        right: (n,) whether the most probable class is the target. confidence: (n,) the highest probability.
        reject_below: answers of less confidence are rejected; None rejects none, and there is no figure.
    """
    if reject_below is None:
        return {}
    answered = confidence >= reject_below
    return _answers(int((right & answered).sum()), int(answered.sum()), len(answered))


def joined_answers(parts: Sequence[Mapping[str, Figure]]) -> dict[str, Figure]:
    """Return the figures of `answer_figures` over the pictures of all parts, from those of each."""
    if not all(_ANSWERED in part for part in parts):
        return {}
    answered, n = (sum(found) for found in zip(*(_counts(part, _ANSWERED) for part in parts), strict=True))
    kept = sum(_counts(part, _PRECISION)[0] for part in parts if _PRECISION in part)
    return _answers(kept, answered, n)


def without_temperature(shares: NDArray[Any], temperature: float) -> float:
    """Return the confidence that the logits behind the probabilities (classes,) have without a temperature.

    Probabilities are softmax(logits / T), so that T times their logarithms are the logits but for a constant.
    """
    logits = temperature * np.log(np.maximum(shares.astype(np.float64), _LEAST))
    return float(1 / np.exp(logits - logits.max()).sum())


def _answers(kept: int, answered: int, n: int) -> dict[str, Figure]:
    found = {_ANSWERED: _share(_ANSWERED, answered, n)}
    return found | ({_PRECISION: _share(_PRECISION, kept, answered)} if answered else {})


def _counts(figures: Mapping[str, Figure], name: str) -> tuple[int, int]:
    """Return the count behind a share, and the count that it is a share of."""
    figure = figures[name]
    return round(figure.value * figure.n), figure.n


def _share(name: str, k: int, n: int) -> Figure:
    interval = wilson(k, n)
    return Figure(name, k / n, min(k / n, interval.low), max(k / n, interval.high), n)
