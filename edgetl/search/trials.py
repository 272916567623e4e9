"""What a study knows of its trials, and what follows from that: who is taken, and who gives way.

Knows nothing of where they are stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgetl.search.front import Point
from edgetl.search.space import Configuration, Space

# running: by some process. complete: there is a model. refused: it costs more than a limit. failed: it cannot
# be tried, for a reason that stays. lost: its process died or was interrupted; it may be tried again.
# surplus: a copy of another trial, or one too many; it was never begun.
State = Literal["running", "complete", "refused", "failed", "lost", "surplus"]
_HELD: tuple[State, ...] = ("running", "complete", "refused", "failed")
_COUNTED: tuple[State, ...] = ("running", "complete")


class TakenOver(Exception):
    """A trial of this process was given up by another one, which had not heard of it for long."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A try of a configuration.

    number: of the study, from 0, in the order in which they were begun. point: None unless it is complete.
    facts: what was recorded on the way, as JSON holds it. worker: the token of the process.
    """

    number: int
    configuration: Configuration
    state: State
    point: Point | None
    facts: Mapping[str, Any]
    worker: str

    @property
    def head(self) -> Point | None:
        """What its solved head was worth, once that is known."""
        found = self.facts.get("head")
        return Point(*found) if found else None


def trial_folder(study: Path, number: int) -> Path:
    """Return where the files of a trial lie in the study's folder."""
    return study / f"trial-{number}"


def is_surplus(mine: Trial, trials: Sequence[Trial], most: int) -> bool:
    """Tell whether a trial that was just begun must give way to those begun before.

    Each trial sees all with a smaller number, since the storage numbers them one after another and writes
    each with its parameters at once. So of two copies, just one gives way.
    """
    before = [one for one in trials if one.number < mine.number]
    copies = any(one.state in _HELD and one.configuration == mine.configuration for one in before)
    return copies or sum(one.state in _COUNTED for one in before) >= most


def counted(trials: Sequence[Trial]) -> int:
    """Return how many trials are done or being done."""
    return sum(one.state in _COUNTED for one in trials)


def open_configurations(space: Space, trials: Sequence[Trial]) -> list[Configuration]:
    """Return what may still be tried: nothing that is held, and nothing that costs what was refused."""
    held = {one.configuration for one in trials if one.state in _HELD}
    dear = {(c.backbone, c.size) for c in (one.configuration for one in trials if one.state == "refused")}
    return [one for one in space.all() if one not in held and (one.backbone, one.size) not in dear]


def heads(trials: Sequence[Trial], mine: int) -> list[Point]:
    """Return the solved heads of the other trials that are done or being done."""
    found = [one.head for one in trials if one.number != mine and one.state in _COUNTED]
    return [point for point in found if point is not None]


def ancestors(mine: Trial, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials of the same configuration that were lost before, the latest first."""
    return [
        one
        for one in sorted(trials, key=lambda one: -one.number)
        if one.state == "lost" and one.configuration == mine.configuration and one.number < mine.number
    ]
