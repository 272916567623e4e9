"""From which confidence on a model is as often right as was wanted: a pure decision on arrays.

The threshold is found on the choosing pictures, where it is the lowest whose lower bound keeps the promise;
what it is worth is measured on the verifying ones, which it has not seen.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetl_exporters.measure import Judged
from edgetl_runtime.errors import ContractError
from edgetl_runtime.statistics import Interval, wilson

_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Rejecting:
    """A threshold of confidence and what it is worth on the verifying pictures.

    wanted: precision, 0–1, of the answers that are given. below: answers of less confidence are rejected,
    written to 6 digits. coverage: share of the pictures that are answered; precision: share of those that
    are answered right, None where none is; each with its 95 % interval (Wilson).
    """

    wanted: float
    below: float
    n: int
    answered: int
    right: int
    coverage: Interval
    precision: Interval | None

    @property
    def certified(self) -> bool:
        """Whether pictures that it was not chosen on promise the precision as well."""
        return self.precision is not None and self.precision.low >= self.wanted

    @property
    def against(self) -> str:
        """Say why the promise is broken on the verifying pictures; empty where it may be kept."""
        if self.precision is None:
            return f"no picture of {self.n:,} is answered with a confidence of {self.below:g}"
        if self.precision.high < self.wanted:
            return (
                f"{self.right:,} of {self.answered:,} answers are right, a precision of at most "
                f"{self.precision.high:.4f} where {self.wanted:g} is promised"
            )
        return ""


def threshold(chosen: Judged, wanted: float) -> float:
    """Return the least confidence from which on the answers are right often enough, with 95 % confidence.

    The lower Clopper-Pearson bound of the precision of all answers above it must reach `wanted`, 0–1.

    Raises:
        ContractError: no threshold does; says how many pictures it takes.
    """
    confidence = chosen.confidence()
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, right = confidence[order], np.cumsum(chosen.correct[order])
    counts = np.arange(1, len(order) + 1)
    # Answers of equal confidence stand or fall together.
    ends = np.flatnonzero(np.append(np.diff(sorted_confidence) < 0, True))
    good = [end for end in ends if promises(int(right[end]), int(counts[end]), wanted)]
    if not good:
        least = math.ceil(math.log(_ALPHA) / math.log(wanted))
        raise ContractError(
            f"No confidence promises a precision of {wanted:g} on the {len(order):,} choosing pictures. It "
            f"takes at least {least:,} of them answered without a mistake. Add validation pictures, or lower "
            "--min-precision."
        )
    # Down to the digits that are written, so that the last picture counted is still answered.
    return math.floor(float(sorted_confidence[max(good)]) * 1e6) / 1e6


def judge_rejecting(verified: Judged, below: float, wanted: float) -> Rejecting:
    """Measure a threshold on pictures that it was not chosen on."""
    answered: NDArray[np.bool_] = verified.confidence() >= below
    n, given = len(answered), int(answered.sum())
    right = int((verified.correct & answered).sum())
    precision = wilson(right, given) if given else None
    return Rejecting(wanted, below, n, given, right, wilson(given, n), precision)


def promises(k: int, n: int, share: float) -> bool:
    """Tell whether k right of n promise a share, 0–1: whether the one-sided 95 % lower bound reaches it.

    The bound is that of Clopper and Pearson, Biometrika 26 (1934).
    """
    return _tail(k, n, share) <= _ALPHA


def _tail(k: int, n: int, share: float) -> float:
    """Return the probability of at least k successes in n tries."""
    if share in (0.0, 1.0):
        return share
    counts = range(k, n + 1)
    chosen = math.lgamma(n + 1)
    return math.fsum(
        math.exp(
            chosen
            - math.lgamma(i + 1)
            - math.lgamma(n - i + 1)
            + i * math.log(share)
            + (n - i) * math.log1p(-share)
        )
        for i in counts
    )
