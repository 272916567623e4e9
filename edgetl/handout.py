"""Pictures handed out to workers elsewhere, part after part, whose rows they put into the cache.

A part is a few seconds of work. Its rows are on the disk when it ends, so whoever dies costs one part.
"""

import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edgetl.cluster.standpoint import Standpoint
from edgetl.cluster.workers import Workers
from edgetl.eviction import cap_bytes, make_room, spare_bytes
from edgetl.extraction import Extraction, Wanted, activations_folder, next_part
from edgetl.forward import BATCH
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture, Progress


@dataclass(frozen=True, slots=True)
class Errand:
    """What all parts need. packed: stages and stores, pickled, for stores open where the sender stands."""

    stand: Standpoint
    packed: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the pictures. spare: bytes that may be spent on their pixels."""

    pictures: Sequence[Picture]
    spare: int


def hand_out(
    workers: Workers,
    arguments: tuple[Any, ...],
    pictures: Sequence[Picture],
    wanted: Wanted,
    progress: Progress | None,
) -> None:
    """Have all rows of these pictures computed.

    Args:
        arguments: what makes an `Extraction`.

    Raises:
        InputError: see `Extraction.compute`. LostWorkers: what they had written stays.
    """
    make_room(activations_folder(), len(pictures) * wanted.row_bytes, cap_bytes())
    with workers.hired(len(pictures) // BATCH) as crew:
        stand, parts = Standpoint.of(crew.shares.cores), _Parts(pictures, wanted, crew.shares.workers)
        errand, done = Errand(stand, pickle.dumps((arguments, wanted))), 0
        with closing(crew.each(fill_part, errand, parts)) as filled:
            for part, (failed, seconds) in filled:
                if failed is not None:
                    raise failed
                parts.size = next_part(len(part.pictures), seconds)
                done += len(part.pictures)
                if progress is not None:
                    progress(done, len(pictures))


class _Parts:
    """The pictures that nobody has yet, in parts of a size that may change."""

    def __init__(self, pictures: Sequence[Picture], wanted: Wanted, workers: int) -> None:
        self.size = BATCH
        self._pictures, self._row_bytes, self._workers = pictures, wanted.row_bytes, workers

    def __iter__(self) -> Iterator[Part]:
        begun = 0
        while begun < len(self._pictures):
            part = self._pictures[begun : begun + self.size]
            yield Part(part, self._spare(len(self._pictures) - begun))
            begun += len(part)

    def _spare(self, left: int) -> int:
        """Return what a worker may spend on pixels, if all rows that are to come shall have room."""
        spare = spare_bytes(activations_folder(), cap_bytes()) - left * self._row_bytes
        return max(0, spare) // self._workers


def fill_part(errand: Errand, part: Part) -> tuple[InputError | OSError | None, float]:
    """Compute on a worker what is missing of a part; return what kept it from that, and the seconds."""
    with errand.stand.taken():
        extraction, wanted = _unpacked(errand.packed)
        begun = time.monotonic()
        # Of a part that was lost with its worker, some may be there.
        ((_, failed),) = extraction.fill(wanted.missing(part.pictures), wanted, part.spare)
        return failed, time.monotonic() - begun


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> tuple[Extraction, Wanted]:
    """Compile the stages once for all parts that a worker gets."""
    arguments, wanted = pickle.loads(packed)
    return Extraction(*arguments), wanted
