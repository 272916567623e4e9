"""Which points no other point beats: the Pareto front, and the order in which trials earn more time.

Pure arithmetic. Knows neither trials nor where points come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetl_runtime.errors import InputError

# Of the trials that are known so far, one in so many is tuned.
REDUCTION = 3


@dataclass(frozen=True, slots=True)
class Point:
    """What a model is worth and what it costs.

    accuracy: on the choosing half of validation, 0–1, the more the better. p50_ms: the median of one picture
    on this machine. size_mb: of its files, in 10^6 bytes.
    """

    accuracy: float
    p50_ms: float
    size_mb: float

    def values(self) -> list[float]:
        """Give the three, as a study keeps them."""
        return [self.accuracy, self.p50_ms, self.size_mb]

    def __post_init__(self) -> None:
        if not (0 <= self.accuracy <= 1 and self.p50_ms > 0 and self.size_mb > 0):
            raise InputError(f"A point needs an accuracy in [0, 1], ms and MB above 0, got {self!r}.")


def dominates(one: Point, other: Point) -> bool:
    """Tell whether `one` is as good as `other` in everything, and better in something."""
    a, b = _costs(one), _costs(other)
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def front(points: Sequence[Point]) -> list[int]:
    """Return the places of the points that no other one dominates, in their order; equal points all stay."""
    return [place for place, one in enumerate(points) if not any(dominates(other, one) for other in points)]


def layers(points: Sequence[Point]) -> list[int]:
    """Number the points by fronts: 0 on the front, 1 on that of the rest without it, and so on."""
    numbers, left, number = [0] * len(points), list(range(len(points))), 0
    while left:
        taken = {left[place] for place in front([points[one] for one in left])}
        for one in taken:
            numbers[one] = number
        left, number = [one for one in left if one not in taken], number + 1
    return numbers


def promoted(mine: Point, others: Sequence[Point]) -> bool:
    """Tell whether a trial belongs to the best share of those known so far, and is tuned.

    The first ones always are. Fronts come in their order; within one, the more accurate and then the faster.
    """
    known = [mine, *others]
    keys = [(layer, -one.accuracy, one.p50_ms) for layer, one in zip(layers(known), known, strict=True)]
    ahead = sum(key < keys[0] for key in keys[1:])
    return ahead < max(1, len(known) // REDUCTION)


def _costs(point: Point) -> tuple[float, float, float]:
    return -point.accuracy, point.p50_ms, point.size_mb
