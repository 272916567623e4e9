"""What a machine tells of itself while it works: memory, energy, frequencies, heat, and its speed.

Every reading is None where the system does not give it: most of them are Linux's. It reads files and a clock,
and knows nothing about models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import numpy as np

from edgetl_runtime.performance import Performance

_FALLEN = 0.8
_PACKAGE = re.compile(r"intel-rapl:\d+")  # also on AMD; its parts are called intel-rapl:0:0
_REFERENCE_ROUNDS = 5


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


def reference_ms() -> float:
    """Time a fixed workload once, in milliseconds: sorting, adding and multiplying on one core, in numpy.

    It stands for what this machine gives at this moment, under this load: a time divided by it says more
    about the model and less about the machine.
    """
    numbers = _REFERENCE
    begun = perf_counter()
    for _ in range(4):
        numbers = np.sort(numbers[::-1] * np.float32(1.0001) + np.float32(0.5))
    return 1000 * (perf_counter() - begun)


_REFERENCE = ((np.arange(40_000, dtype=np.int64) * 7919) % 40_009).astype(np.float32)


@dataclass(slots=True)
class Meters:
    """The readings around one measurement: begin it, mark as it goes on, and finish it."""

    before: Reading
    begun: float
    references_ms: list[float] = field(default_factory=list)

    @classmethod
    def begin(cls) -> Meters:
        """Warm the machine up with the reference workload, then look."""
        references = [reference_ms() for _ in range(_REFERENCE_ROUNDS + 1)][1:]
        return cls(read_counters(), perf_counter(), references)

    def mark(self) -> None:
        """Time the reference workload once more, in the middle of the measurement."""
        begun = perf_counter()
        self.references_ms.append(reference_ms())
        self.begun += perf_counter() - begun  # The pause is no part of what is measured.

    def finish(self, pictures: int, cold_start_ms: float | None) -> Performance:
        """Look again, and say how it went for so many pictures."""
        seconds = perf_counter() - self.begun
        after = read_counters()
        joules = joules_between(self.before, after)
        return Performance(
            throughput_per_s=round(pictures / seconds, 3) if pictures and seconds > 0 else None,
            cold_start_ms=None if cold_start_ms is None else round(cold_start_ms, 3),
            reference_ms=round(median(self.references_ms), 4),
            peak_memory_bytes=peak_memory_bytes(),
            joules_per_picture=None if joules is None or not pictures else round(joules / pictures, 6),
            mhz_before=self.before.mhz,
            mhz_after=after.mhz,
            throttled=throttled_between(self.before, after),
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
