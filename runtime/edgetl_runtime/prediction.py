"""The answer for one picture: which labels it has, and how sure they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import ContractError

__all__ = ["MULTI_LABEL_THRESHOLD", "Prediction"]

MULTI_LABEL_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one picture.

    label: the most probable class; None where it was rejected, or where a multi-label picture has none.
    labels: all classes that were found: (label,) or () in single-label, any number in multi-label.
    confidence: the highest probability, 0–1. probabilities: (classes,) float32. logits: (classes,) float32.
    """

    label: str | None
    labels: tuple[str, ...]
    confidence: float
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ContractError(
                f"A confidence must be 0 to 1, the engine gave {self.confidence!r}. Open another variant."
            )
