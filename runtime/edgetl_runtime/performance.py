"""What a device delivered while it was validated: speed, memory, heat and energy, each where it can be read.

Plain numbers with their rules; `machine` reads them, receipts carry them, and the gate compares them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from edgetl_runtime.errors import ReceiptError

__all__ = ["Performance"]


@dataclass(frozen=True, slots=True)
class Performance:
    """How one validation went on one machine; None is what this machine does not tell.

    throughput_per_s: pictures per second, one after the other, errors and bookkeeping included.
    cold_start_ms: from the call of `Session.open` to the first answer, with whatever caches there were.
    reference_ms: a fixed workload in numpy, median over the run: times divided by it compare across loads.
    peak_memory_bytes: the largest resident memory of the process.
    joules_per_picture: of the whole processor package while the pictures ran, idle share included.
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

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name != "throttled"):
            value = getattr(self, name)
            if value is not None and not (0 <= value < math.inf):
                raise ReceiptError(f"Performance.{name} must be null or a number from 0 on, got {value!r}.")
