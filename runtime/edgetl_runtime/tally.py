"""From the predictions of a receipt to its figures, those of one validation and those of many added up.

Figures are those of the numbers that a receipt holds, so whoever has it finds the same. Knows no pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl_runtime.confidence import calibration_before_temperature
from edgetl_runtime.metrics import Figure, f1_per_class, figures, recall_per_class

if TYPE_CHECKING:
    from edgetl_runtime.predictions import Predictions

__all__ = ["tally", "tally_by_class"]


def tally(classes: Sequence[str], predictions: Predictions) -> dict[str, Figure]:
    """Return every figure that follows from the predictions, by name, the headline first."""
    target, predicted, sure = predictions.target, predictions.predicted, predictions.confidence
    shares, untempered = predictions.probabilities, predictions.untempered
    found = figures(predictions.task, classes, target, predicted, shares, confidence=sure)
    if untempered is not None:
        error = calibration_before_temperature(target == predicted, untempered)
        found[error.name] = error
    return found


def tally_by_class(classes: Sequence[str], predictions: Predictions) -> dict[str, Figure]:
    """Return the recall, or of several labels the F1, of each class that the pictures show."""
    target, predicted = predictions.target, predictions.predicted
    several = predictions.task == "multi_label"
    found = f1_per_class(target, predicted) if several else recall_per_class(target, predicted, len(classes))
    return {name: figure for name, figure in zip(classes, found, strict=True) if figure is not None}
