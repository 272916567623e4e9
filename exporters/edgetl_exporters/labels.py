"""Whether labels fit: names in another order than the scores, and classes that no picture shows."""

from collections.abc import Sequence

import numpy as np

from edgetl_exporters.measure import Judged
from edgetl_exporters.model import Targets
from edgetl_runtime.errors import InputError
from edgetl_runtime.metrics import confusion_matrix

# Of a class; fewer pictures could all be mistakes.
_LEAST = 5


def refuse_swapped(judged: Judged, classes: Sequence[str]) -> None:
    """Refuse answers that are right under other names: classes that are each taken for the next in a ring.

    Raises:
        InputError: most pictures of each of these classes are answered with another of them.
    """
    if judged.balanced_accuracy is None:
        return
    counts = confusion_matrix(judged.targets, judged.decided, len(classes))
    usual = counts.argmax(axis=1)
    sure = (2 * counts.max(axis=1) > counts.sum(axis=1)) & (counts.sum(axis=1) >= _LEAST)
    odd = np.flatnonzero(sure & (usual != np.arange(len(classes)))).tolist()
    wrong = {int(one): int(usual[one]) for one in odd}
    ring = [one for one in wrong if one in _reached(one, wrong)]
    if ring:
        told = ", ".join(f"{classes[one]!r} is answered {classes[wrong[one]]!r}" for one in ring[:5])
        raise InputError(
            f"The classes seem to be in another order than the scores: {told}, on most choosing pictures. "
            "Give the names in the order of the network's outputs."
        )


def unseen(targets: Targets, classes: Sequence[str]) -> list[str]:
    """Return the classes that no picture with these targets shows: nothing can be learnt of them."""
    shown = set(np.flatnonzero(targets.any(axis=0)) if targets.ndim == 2 else np.unique(targets))
    return [name for number, name in enumerate(classes) if number not in shown]


def _reached(start: int, step: dict[int, int]) -> set[int]:
    seen: set[int] = set()
    place = step.get(start)
    while place is not None and place not in seen:
        seen.add(place)
        place = step.get(place)
    return seen
