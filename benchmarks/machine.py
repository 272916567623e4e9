"""What the figures were measured on, and how several variants are timed fairly."""

import os
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from edgetl.run import environment_facts

# Of other processes: when this is read, nothing has been measured yet.
_LOAD = os.getloadavg()[0]


def facts() -> dict[str, Any]:
    """Describe machine and versions, and the load before this process measured anything."""
    return environment_facts() | {"load": round(_LOAD, 2)}


def interleaved_ms(
    variants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 5
) -> dict[str, list[float]]:
    """Time each variant once a round, so that noise of the machine meets all alike; milliseconds."""
    for _ in range(warm_up):
        for run in variants.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            begun = time.perf_counter()
            run()
            times[name].append(1000 * (time.perf_counter() - begun))
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each variant's times."""
    return {name: round(median(values), 3) for name, values in times.items()}


def ratio(times: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """Return the median over rounds of slow / fast: paired, so that drift cancels."""
    return round(median(a / b for a, b in zip(times[slow], times[fast], strict=True)), 2)
