"""A short race of the best backbones: each is trained for a moment, the worse half goes, the rest go on.

Successive halving (Jamieson and Talwalkar, 2016): a round for all, then twice the epochs for those that are
left. A moment on a few pictures is noisy, so the ranking that they come in stands until a paired comparison
proves it wrong. Whoever is proven worse than the first goes at once: another round turns a proven lead
seldom, and then rightly as often as wrongly (`benchmarks/rounds.py`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgetl.advise.probe import Gain, Probed, gain

_FIRST_EPOCHS = 2

# Trains a backbone by name for so many epochs a step, within so many seconds.
Trial = Callable[[str, int, float], Probed]


@dataclass(frozen=True, slots=True)
class Lap:
    """What a backbone gave in a round, counted from 1."""

    name: str
    round: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Race:
    """How a race went.

    order: the names, the winner first. lead: of the winner over the second in the last round that both ran,
    below zero where the ranking stands for lack of proof; None where there was none. stopped: why it ended
    early, or the empty text.
    """

    order: tuple[str, ...]
    laps: tuple[Lap, ...]
    lead: Gain | None
    stopped: str


def race(names: Sequence[str], trial: Trial, seconds: float) -> Race:
    """Race backbones, the favourite first, for about so many seconds.

    A round begins only while the time that the round before took, or a share of the budget for each before
    the first, is left. Who is not raced keeps its place behind who was.
    """
    begun = time.monotonic()
    running, order, laps, epochs, number = list(names), list(names), list[Lap](), _FIRST_EPOCHS, 0
    lead = None
    while len(running) > 1:
        left = seconds - (time.monotonic() - begun)
        expected = 2 * sum(lap.seconds for lap in laps if lap.round == number and lap.name in running)
        if left <= max(expected, 1.0):
            return Race(tuple(order), tuple(laps), lead, f"{seconds:.0f} s for the race are used up")
        number += 1
        found = {name: trial(name, epochs, left / len(running)) for name in running}
        laps += [Lap(name, number, one.loss, one.accuracy, one.seconds) for name, one in found.items()]
        running = _ordered(running, found)
        lead = gain(found[running[0]], found[running[1]])
        order = [*running, *(name for name in order if name not in running)]
        rivals = [name for name in running[1:] if not gain(found[running[0]], found[name]).proven]
        running, epochs = [running[0], *rivals][: (len(running) + 1) // 2], 2 * epochs
    return Race(tuple(order), tuple(laps), lead, "")


def _ordered(names: Sequence[str], found: Mapping[str, Probed]) -> list[str]:
    """Put the favourite first, or the best of those with a proven gain over it; then the others likewise."""
    left, ordered = list(names), list[str]()
    while left:
        proven = [name for name in left[1:] if gain(found[name], found[left[0]]).proven]
        first = min(proven, key=lambda name: found[name].loss) if proven else left[0]
        left.remove(first)
        ordered.append(first)
    return ordered
