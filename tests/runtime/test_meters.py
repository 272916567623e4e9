from pathlib import Path

import pytest
from virtual_machine import VirtualMachine

from edgetl_runtime.meters import (
    Meters,
    Reading,
    joules_between,
    peak_memory_bytes,
    read_counters,
    throttled_between,
)
from edgetl_runtime.pacing import Pace


def reading(*, energy: dict[str, tuple[int, int]] | None = None, throttles=None, mhz=None) -> Reading:
    return Reading(energy or {}, throttles, mhz)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_the_counters_of_linux_are_read(tmp_path: Path) -> None:
    sys = write(
        tmp_path / "sys",
        {
            "class/powercap/intel-rapl:0/energy_uj": "1500\n",
            "class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
            "class/powercap/intel-rapl:0:0/energy_uj": "700\n",
            "class/powercap/intel-rapl:0:0/max_energy_range_uj": "262143328850\n",
            "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3",
            "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "1",
            "devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "4",
            "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3400000",
            "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1400000",
        },
    )
    found = read_counters(sys, tmp_path / "proc")
    assert found == Reading({"intel-rapl:0": (1500, 262143328850)}, 8, 2400.0)


def test_frequencies_come_from_cpuinfo_where_there_is_no_governor(tmp_path: Path) -> None:
    proc = write(tmp_path, {"cpuinfo": "cpu MHz\t\t: 2000.5\nflags: x\ncpu MHz\t\t: 3000.5\n"})
    assert read_counters(tmp_path / "none", proc) == Reading({}, None, 2500.5)


def test_a_system_that_tells_nothing_gives_none(tmp_path: Path) -> None:
    found = read_counters(tmp_path, tmp_path)
    assert found == Reading({}, None, None)
    assert joules_between(found, found) is None
    assert throttled_between(found, found) is None
    assert peak_memory_bytes(tmp_path) is None


def test_energy_is_that_of_all_packages_and_counters_start_over() -> None:
    before = reading(energy={"a": (9_000_000, 9_999_999), "b": (1_000_000, 9_999_999)})
    after = reading(energy={"a": (1_000_000, 9_999_999), "b": (1_500_000, 9_999_999)})
    assert joules_between(before, after) == pytest.approx(2.5)
    assert joules_between(before, reading(energy={"a": (9_500_000, 9_999_999)})) is None


@pytest.mark.parametrize(
    ("before", "after", "throttled"),
    [
        (reading(throttles=3), reading(throttles=3), False),
        (reading(throttles=3), reading(throttles=4), True),
        (reading(mhz=3000.0), reading(mhz=2500.0), False),
        (reading(mhz=3000.0), reading(mhz=2300.0), True),
        (reading(throttles=3, mhz=3000.0), reading(throttles=3, mhz=2300.0), True),
        (reading(throttles=3), reading(mhz=3000.0), None),
    ],
)
def test_heat_shows_in_counters_or_in_frequencies(before: Reading, after: Reading, throttled) -> None:
    assert throttled_between(before, after) is throttled


def test_memory_is_the_peak_of_this_process(tmp_path: Path) -> None:
    proc = write(tmp_path, {"self/status": "Name:\tx\nVmPeak:\t 900 kB\nVmHWM:\t     512 kB\n"})
    assert peak_memory_bytes(proc) == 512 * 1024


def test_a_measurement_is_framed_by_readings() -> None:
    machine = VirtualMachine(jitter=0)
    with Pace(10, 1, machine.timing) as pace:
        meters = Meters.begin(machine.timing.clock)
        for done in range(1, 11):
            machine.spend(0.2)
            pace.picture(done, 200.0)
        found = meters.finish(10, 123.4567, pace, 2)
    assert found.throughput_per_s == pytest.approx(5)  # The workload in between does not count.
    assert (found.cold_start_ms, found.threads) == (123.457, 2)
    assert found.reference_ms == pytest.approx(2)
    assert found.blocks == tuple(pace.blocks)
    assert len(found.blocks) == 10
    assert Meters.begin().finish(0, None, pace, None).throughput_per_s is None  # Of nothing is no speed.
