"""Ridge regression on features, judged by leaving one picture out: exact, in closed form, without a split.

With H the matrix that turns targets into fitted values, the value that a picture gets from a fit without it
is y_i − (y_i − ŷ_i) / (1 − H_ii): Allen's PRESS (Technometrics 16, 1974, 125-127). The intercept is not
penalised. Knows no pictures and no network.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.advise.spectrum import Floats, Spectrum, spectrum

# Strengths of the penalty, as shares of the features' total variance.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_TEST_PENALTY = 1e-2


class Ridge:
    """Features made ready for any number of targets.

    Args:
        features: (n, width), not standardised; their mean is removed and their total variance made 1.
    """

    def __init__(self, features: NDArray[Any]) -> None:
        self.scale, centred = _standard(features)
        self._spectrum: Spectrum = spectrum(centred)

    def loo_values(self, targets: Floats, penalty: float) -> Floats:
        """Return the value of each picture from a fit without it, (n, classes).

        targets: (n, classes), zeros and ones. penalty: the λ of ‖y − Xw − b‖² / n + λ‖w‖² on the scaled
        features.
        """
        n = len(targets)
        basis = self._spectrum.basis
        shrink = self._spectrum.squares / (self._spectrum.squares + penalty * n)
        mean = targets.mean(axis=0)
        fitted = mean + (basis * shrink) @ (basis.T @ (targets - mean))
        leverage = 1 / n + np.square(basis) @ shrink
        values: Floats = targets - (targets - fitted) / np.maximum(1 - leverage, 1e-9)[:, None]
        return values

    def best_values(self, targets: Floats) -> Floats:
        """Return the left-out values, (n, classes), under the penalty whose squared error is least."""
        tried = [self.loo_values(targets, penalty) for penalty in PENALTIES]
        return min(tried, key=lambda values: float(np.square(values - targets).sum()))

    def signal_p_value(self, targets: Floats, shuffles: int = 199, seed: int = 0) -> float:
        """Return how often shuffled targets can be told apart as well as the true ones: a permutation test.

        The statistic is how much higher a class's left-out values are on its own pictures than on others,
        mean over classes, at a fixed penalty. The p-value is (1 + shuffles as good) / (1 + shuffles), which
        keeps its promise for any data (Phipson and Smyth 2010).
        """
        generator = np.random.default_rng(seed)

        def separation(now: Floats) -> float:
            values = self.loo_values(now, _TEST_PENALTY)
            inside = (values * now).sum(axis=0) / np.maximum(now.sum(axis=0), 1)
            outside = (values * (1 - now)).sum(axis=0) / np.maximum((1 - now).sum(axis=0), 1)
            return float((inside - outside).mean())

        true = separation(targets)
        as_good = sum(separation(generator.permutation(targets)) >= true for _ in range(shuffles))
        return (1 + as_good) / (1 + shuffles)


def decide(values: Floats, targets: Floats, *, several: bool) -> NDArray[np.bool_]:
    """Tell for each picture, (n,), whether its left-out values give the right answer.

    One label: the class whose value is highest above the class's share, so that rare classes count; the share
    is that of the other pictures, as the values are, or the picture's own label would speak against itself.
    Several: all labels right at one half.
    """
    if several:
        right: NDArray[np.bool_] = ((values >= 0.5) == (targets > 0.5)).all(axis=1)
        return right
    shares = (targets.sum(axis=0) - targets) / max(len(targets) - 1, 1)
    chosen: NDArray[np.bool_] = (values - shares).argmax(axis=1) == targets.argmax(axis=1)
    return chosen


def _standard(features: NDArray[Any]) -> tuple[float, Floats]:
    centred = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    scale = float(np.sqrt(np.square(centred).sum() / len(centred)))
    return scale, centred / (scale or 1.0)
