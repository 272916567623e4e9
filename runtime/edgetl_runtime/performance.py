"""What a device delivered while it was validated: speed, memory, heat and energy, each where it can be read.

Plain numbers with their rules and their JSON form; `meters` and `pacing` read them, receipts carry them, and
the gate compares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.strict_json import JSON, Fields

__all__ = ["Block", "Performance", "worst_of"]

MAX_BLOCKS = 10_000

T = TypeVar("T", int, float)


@dataclass(frozen=True, slots=True)
class Block:
    """Some pictures in a row: their mean time, and that of the reference workload that ran between them.

    picture_ms: from the file to the answer. reference_ms: of the workload on one thread; parallel_ms: on as
    many threads at once as the engine has, None where that is one.
    """

    picture_ms: float
    reference_ms: float
    parallel_ms: float | None = None

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not (value is None and name == "parallel_ms") and not 0 < value < math.inf:
                raise ReceiptError(f"Block.{name} must be a number above 0, got {value!r}.")


@dataclass(frozen=True, slots=True)
class Performance:
    """How one validation went on one machine; None is what this machine does not tell.

    throughput_per_s: pictures per second, one after the other, errors and bookkeeping included.
    cold_start_ms: from the call of `Session.open` to the first answer, with whatever caches there were.
    reference_ms: a fixed workload in numpy, median over the run: times divided by it compare across loads.
    peak_memory_bytes: the largest resident memory of the process.
    joules_per_picture: of the whole processor package while the pictures ran, idle share included.
    threads: of the engine, as asked for; None left the choice to it.
    blocks: the pictures in their order, in 40 blocks; fewer where they are fewer, none in older receipts.
    mhz_before, mhz_after: the mean frequency of the cores in use.
    throttled: whether the system counted thermal throttling, or frequencies fell by more than a fifth.
    """

    throughput_per_s: float | None = None
    cold_start_ms: float | None = None
    reference_ms: float | None = None
    peak_memory_bytes: int | None = None
    joules_per_picture: float | None = None
    mhz_before: float | None = None
    mhz_after: float | None = None
    throttled: bool | None = None
    threads: int | None = None
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name not in ("throttled", "blocks")):
            value = getattr(self, name)
            if value is not None and not (0 <= value < math.inf):
                raise ReceiptError(f"Performance.{name} must be null or a number from 0 on, got {value!r}.")

    @classmethod
    def from_json(cls, value: JSON, where: str) -> Performance:
        """Read what a receipt tells; every key may be missing."""
        names = [field.name for field in fields(cls)]
        f = Fields(value, where, names, ReceiptError, optional=names)
        return cls(
            throughput_per_s=f.optional_number("throughput_per_s"),
            cold_start_ms=f.optional_number("cold_start_ms"),
            reference_ms=f.optional_number("reference_ms"),
            peak_memory_bytes=f.optional_integer("peak_memory_bytes"),
            joules_per_picture=f.optional_number("joules_per_picture"),
            mhz_before=f.optional_number("mhz_before"),
            mhz_after=f.optional_number("mhz_after"),
            throttled=f.optional_truth("throttled"),
            threads=f.optional_integer("threads"),
            blocks=_blocks(f) if "blocks" in f else (),
        )


def worst_of(parts: Sequence[Performance | None]) -> Performance | None:
    """Return the worst that any of several validations tells, of what all tell; None where one tells nothing.

    The reference workload, frequencies and blocks belong to one run each, and are left out.
    """
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    threads, throttled = {part.threads for part in known}, {part.throttled for part in known}
    return Performance(
        throughput_per_s=_least([part.throughput_per_s for part in known]),
        cold_start_ms=_most([part.cold_start_ms for part in known]),
        peak_memory_bytes=_most([part.peak_memory_bytes for part in known]),
        joules_per_picture=_most([part.joules_per_picture for part in known]),
        throttled=None if None in throttled else True in throttled,
        threads=threads.pop() if len(threads) == 1 else None,
    )


def _most(values: Sequence[T | None]) -> T | None:
    told = [value for value in values if value is not None]
    return max(told) if len(told) == len(values) else None


def _least(values: Sequence[T | None]) -> T | None:
    told = [value for value in values if value is not None]
    return min(told) if len(told) == len(values) else None


def _blocks(f: Fields) -> tuple[Block, ...]:
    count = len(f.list("blocks"))
    if count > MAX_BLOCKS:
        raise ReceiptError(f"{f.where}.blocks must be at most {MAX_BLOCKS:,}, got {count:,}.")
    names = [field.name for field in fields(Block)]
    found = (Fields(value, where, names, ReceiptError) for where, value in f.items("blocks"))
    return tuple(
        Block(one.number("picture_ms"), one.number("reference_ms"), one.optional_number("parallel_ms"))
        for one in found
    )
