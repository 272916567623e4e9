"""The int8 contract as a pure decision: two models' answers on the same pictures, and a limit.

A candidate passes when the drop that was seen is within the limit and no paired test speaks against it. It is
certified when, beyond that, the upper end of the 90 % interval of the true drop is within the limit.
"""

from dataclasses import dataclass

import numpy as np

from edgetl_exporters.measure import Judged
from edgetl_runtime.statistics import Interval, mcnemar_exact, pictures_needed, tango

_ALPHA = 0.05
_ONE_SIDED = 1.645  # standard errors: the 5 % that the 90 % interval leaves on one side


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate beside the float model on n pictures.

    lost: pictures that only the float model gets right; gained: those that only the candidate does. drop: of
    the accuracy, 0–1, negative for a gain; interval: 90 %, Tango's. against: what speaks against it, empty
    when it passes. needs: how many pictures would certify it; None where it is certified.
    """

    n: int
    lost: int
    gained: int
    drop: float
    interval: Interval
    limit: float
    against: tuple[str, ...]
    needs: int | None

    @property
    def passes(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.against

    @property
    def certified(self) -> bool:
        """Whether the true drop is within the limit, with 95 % confidence."""
        return self.passes and self.interval.high <= self.limit


def compare(reference: Judged, candidate: Judged, limit: float) -> Comparison:
    """Compare a candidate with the float model; `limit` is the drop of accuracy that is allowed, 0–1."""
    n = len(reference.correct)
    lost = int((reference.correct & ~candidate.correct).sum())
    gained = int((candidate.correct & ~reference.correct).sum())
    drop, interval = (lost - gained) / n, tango(lost, gained, n, 1 - 2 * _ALPHA)
    against = []
    if drop > limit:
        against.append(f"accuracy drops by {100 * drop:.1f} points, {100 * limit:.1f} allowed")
    elif interval.high > limit and lost > gained and mcnemar_exact(lost, gained) < _ALPHA:
        against.append(f"{lost} answers lost and {gained} gained are no accident")
    if (least := _least_balanced_drop(reference, candidate)) > limit:
        against.append(f"balanced accuracy drops by at least {100 * least:.1f} points")
    certified = not against and interval.high <= limit
    needs = None if certified else _needs(lost + gained, n, max(0.0, drop), limit)
    return Comparison(n, lost, gained, drop, interval, limit, tuple(against), needs)


def _least_balanced_drop(reference: Judged, candidate: Judged) -> float:
    """Return the lower end of the paired 90 % interval of the drop of balanced accuracy.

    A model that answers with the largest class may keep its accuracy; its balanced accuracy tells.
    """
    if reference.balanced_accuracy is None:
        return 0.0
    change = reference.correct.astype(float) - candidate.correct
    groups = [change[reference.targets == number] for number in np.unique(reference.targets)]
    means, errors = [group.mean() for group in groups], [group.var() / len(group) for group in groups]
    return float(np.mean(means) - _ONE_SIDED * np.sqrt(np.sum(errors)) / len(groups))


def _needs(discordant: int, n: int, drop: float, limit: float) -> int:
    """Return how many pictures would certify it at the drop that was seen, or at none above the limit."""
    return pictures_needed(discordant / n, limit, drop if drop < limit else 0.0, _ALPHA)
