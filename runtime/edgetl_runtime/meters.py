"""What a machine tells of itself while it works: memory, energy, frequencies, heat.

Every reading is None where the system does not give it: most of them are Linux's. It reads files and a clock,
and knows nothing about models.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import TYPE_CHECKING

from edgetl_runtime.performance import Performance

if TYPE_CHECKING:
    from edgetl_runtime.pacing import Pace

_FALLEN = 0.8
_PACKAGE = re.compile(r"intel-rapl:\d+")  # also on AMD; its parts are called intel-rapl:0:0


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the counters.

    microjoules: by package, growing, each up to its limit and then from 0 again. throttles: how often the
    system slowed a core because of heat, since it started. mhz: the mean over the cores.
    """

    microjoules: dict[str, tuple[int, int]]
    throttles: int | None
    mhz: float | None


def read_counters(sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> Reading:
    """Look at energy, heat and frequency."""
    packages = [path for path in sorted(sys.glob("class/powercap/*")) if _PACKAGE.fullmatch(path.name)]
    microjoules = {}
    for path in packages:
        energy, limit = _number(path / "energy_uj"), _number(path / "max_energy_range_uj")
        if energy is not None and limit:
            microjoules[path.name] = (energy, limit)
    counts = [_number(path) for path in sys.glob("devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")]
    known = [count for count in counts if count is not None]
    return Reading(microjoules, sum(known) if known else None, _mhz(sys, proc))


def joules_between(before: Reading, after: Reading) -> float | None:
    """Return the energy that all packages took; None where it cannot be read."""
    total = 0
    for name, (start, limit) in before.microjoules.items():
        if name not in after.microjoules:
            return None
        total += (after.microjoules[name][0] - start) % (limit + 1)
    return total / 1e6 if before.microjoules else None


def throttled_between(before: Reading, after: Reading) -> bool | None:
    """Say whether heat slowed the machine: as the system counts, or as frequencies that fell by a fifth."""
    signs = []
    if before.throttles is not None and after.throttles is not None:
        signs.append(after.throttles > before.throttles)
    if before.mhz and after.mhz is not None:
        signs.append(after.mhz < _FALLEN * before.mhz)
    return any(signs) if signs else None


def peak_memory_bytes(proc: Path = Path("/proc")) -> int | None:
    """Return the largest resident memory that this process had."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", _text(proc / "self/status"), re.MULTILINE)
    return 1024 * int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Meters:
    """The readings around one measurement: begin it and finish it."""

    before: Reading
    begun: float
    clock: Callable[[], float]

    @classmethod
    def begin(cls, clock: Callable[[], float] = perf_counter) -> Meters:
        """Look for the first time."""
        return cls(read_counters(), clock(), clock)

    def finish(
        self, pictures: int, cold_start_ms: float | None, pace: Pace, threads: int | None
    ) -> Performance:
        """Look again, and say how it went for so many pictures; the pauses of the pace are none of theirs."""
        seconds = self.clock() - self.begun - pace.paused_s
        after = read_counters()
        joules = joules_between(self.before, after)
        return Performance(
            throughput_per_s=round(pictures / seconds, 3) if pictures and seconds > 0 else None,
            cold_start_ms=None if cold_start_ms is None else round(cold_start_ms, 3),
            reference_ms=round(pace.reference_ms(), 4),
            peak_memory_bytes=peak_memory_bytes(),
            joules_per_picture=None if joules is None or not pictures else round(joules / pictures, 6),
            mhz_before=self.before.mhz,
            mhz_after=after.mhz,
            throttled=throttled_between(self.before, after),
            threads=threads,
            blocks=tuple(pace.blocks),
        )


def _mhz(sys: Path, proc: Path) -> float | None:
    kilohertz = [_number(path) for path in sys.glob("devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")]
    found = [one / 1000 for one in kilohertz if one is not None]
    if not found:
        text = _text(proc / "cpuinfo")
        found = [float(one) for one in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    return round(mean(found), 1) if found else None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux, or not for us to read
        return ""
