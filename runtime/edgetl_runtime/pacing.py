"""How fast pictures are answered beside a fixed workload, block by block: load is told from slowness.

The workload runs after every k-th picture, and both are averaged: whatever slows the machine for a while
slows both alike. It knows a clock and numbers, and nothing about models.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean, median
from time import perf_counter
from types import TracebackType

import numpy as np

from edgetl_runtime.performance import Block

__all__ = ["REAL", "Pace", "Timing", "reference_ms"]

BLOCKS = 40
_SHARE = 1 / 8  # of the time of the pictures, about, that the workload may take
_WARM_UP = 3
_STALL = 5  # medians of what takes longest: more is a stall, which would hide everything else
_NUMBERS = ((np.arange(40_000, dtype=np.int64) * 7919) % 40_009).astype(np.float32)


def _sort() -> None:
    """Sort, add and multiply in numpy, on one core; numpy lets other threads run meanwhile."""
    numbers = _NUMBERS
    for _ in range(2):
        numbers = np.sort(numbers[::-1] * np.float32(1.0001) + np.float32(0.5))


@dataclass(frozen=True, slots=True)
class Timing:
    """What time is read from, in seconds, and the workload that it is held against."""

    clock: Callable[[], float] = perf_counter
    work: Callable[[], None] = _sort


REAL = Timing()


def reference_ms(timing: Timing = REAL) -> float:
    """Time the workload once on one thread, in milliseconds."""
    begun = timing.clock()
    timing.work()
    return 1000 * (timing.clock() - begun)


class Pace:
    """The blocks of one measurement: tell it of every picture, and it runs the workload in between."""

    def __init__(self, pictures: int, threads: int, timing: Timing = REAL) -> None:
        """Expect so many pictures, answered by an engine of so many threads; run the workload to warm up."""
        self.blocks: list[Block] = []
        self.paused_s = 0.0
        self._timing, self._threads = timing, threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._ends = {(k + 1) * pictures // BLOCKS for k in range(BLOCKS)}
        self._pictures, self._references, self._parallels = _Times(), _Times(), _Times()
        for _ in range(_WARM_UP):
            reference_ms(timing)
        self._left, self._whole = 1, True

    def picture(self, done: int, total_ms: float | None, *, fresh: bool = True) -> None:
        """Take the time of the picture that was just answered, the `done`-th; None where it is unreadable.

        Args:
            fresh: False for an answer of an earlier run, whose whole block is then left out.
        """
        self._whole &= fresh
        ends = done in self._ends
        if fresh and total_ms is not None:
            self._pictures.add(total_ms)
            self._left -= 1
            if self._left == 0 or (ends and not self._references.block()):
                self._run()
        if ends:
            self._close()

    def reference_ms(self) -> float:
        """Return the median time of the workload on one thread."""
        return median(self._references.all or [reference_ms(self._timing)])

    def __enter__(self) -> Pace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _run(self) -> None:
        begun = self._timing.clock()
        self._references.add(reference_ms(self._timing))
        if self._pool is not None:
            self._parallels.add(self._parallel(self._pool))
        self.paused_s += self._timing.clock() - begun
        # By count: were it by time, it would run after slow pictures more often, so in busy moments.
        pause_ms = 1000 * self.paused_s / len(self._references.all)
        self._left = max(1, round(pause_ms / (_SHARE * self._pictures.total / len(self._pictures.all))))

    def _parallel(self, pool: ThreadPoolExecutor) -> float:
        """Time the workload on all threads at once until the last is done, as an engine waits for its own."""
        begun = self._timing.clock()
        for one in [pool.submit(self._timing.work) for _ in range(self._threads)]:
            one.result()
        return 1000 * (self._timing.clock() - begun)

    def _close(self) -> None:
        told = [one for one in (self._pictures, self._references, self._parallels) if one.block()]
        if self._whole and self._references in told:
            most = _STALL * max(median(one.all) for one in told)
            self.blocks.append(Block(*(round(one.mean(most), 4) for one in told)))
        for one in told:
            one.close()
        self._whole = True


class _Times:
    """The milliseconds of one kind: of all so far, and of the block that is open."""

    def __init__(self) -> None:
        self.all: list[float] = []
        self.total = 0.0
        self._begun = 0

    def add(self, ms: float) -> None:
        self.all.append(ms)
        self.total += ms

    def block(self) -> list[float]:
        return self.all[self._begun :]

    def mean(self, most: float) -> float:
        """Return the mean of the block, in which a stall counts as `most`."""
        return fmean(min(one, most) for one in self.block())

    def close(self) -> None:
        self._begun = len(self.all)
