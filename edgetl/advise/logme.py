"""LogME: how probable the labels are under a linear model of the features, all weights averaged out.

You et al., LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021. It is shown
and never decides: among small networks it ranks worse than published accuracy alone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.advise.spectrum import Floats, Spectrum, spectrum

_ITERATIONS, _TOLERANCE = 100, 1e-6


def logme(features: NDArray[Any], targets: Floats) -> float:
    """Return the log evidence per picture in nats, mean over classes; higher is better.

    Args:
        features: (n, width). targets: (n, classes), zeros and ones.
    """
    found = spectrum(features)
    width = features.shape[1]
    return float(np.mean([_evidence(found, targets[:, one], width) for one in range(targets.shape[1])]))


def _evidence(found: Spectrum, target: Floats, width: int) -> float:
    """Maximise the evidence of y ~ N(Fw, 1/β), w ~ N(0, 1/α) over α and β by MacKay's fixed point."""
    n, squares = len(target), found.squares
    projected = np.square(found.basis.T @ target)
    outside = max(float(np.square(target).sum() - projected.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(_ITERATIONS):
        ratio = alpha / beta
        effective = float((squares / (squares + ratio)).sum())
        weights = float((squares * projected / np.square(squares + ratio)).sum())
        error = float((projected / np.square(1 + squares / ratio)).sum()) + outside
        alpha, beta = effective / max(weights, 1e-12), (n - effective) / max(error, 1e-12)
        if abs(alpha / beta - ratio) <= _TOLERANCE * ratio:
            break
    ratio = alpha / beta
    weights = float((squares * projected / np.square(squares + ratio)).sum())
    error = float((projected / np.square(1 + squares / ratio)).sum()) + outside
    spread = float(np.log(alpha + beta * squares).sum()) + (width - len(squares)) * np.log(alpha)
    evidence = n * np.log(beta) + width * np.log(alpha) - n * np.log(2 * np.pi)
    return float(evidence - beta * error - alpha * weights - spread) / (2 * n)
