"""The plan for millions of pictures: slopes from what was measured, and cells that are measured once."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.many import CLASSES, write_files, write_tars
from benchmarks.peaks import Phase, Watched, watch
from benchmarks.scale_plan import Fleet, Measured, page, slope
from edgetl_runtime.pictures import index

MACHINE = {"cores": 2, "cpu": "a processor", "load": 0.5}


def measured(count: int, kind: str = "photos", layout: str = "tars") -> Measured:
    """Every picture costs 1, 2, 5 and 10 ms of a core, and 3 kB; what is paid once is 4 s and 50 MB."""
    costs = {"list": 1, "index": 2, "extract": 5, "validate": 10}
    phases = tuple(
        Phase(part, (4_000 + ms * count) / 500, (4_000 + ms * count) / 1_000, 50 + 3 * count / 1_000)
        for part, ms in costs.items()
    )
    return Measured(kind, layout, count, Watched(phases, 0), MACHINE)


def test_a_slope_leaves_out_what_is_paid_once() -> None:
    found = slope([measured(1_000), measured(10_000)], "photos", "tars", "extract")
    assert found is not None
    assert (found.core_ms, found.held_kb) == pytest.approx((5, 3))
    assert slope([measured(1_000)], "photos", "tars", "extract") is None


def test_the_plan_multiplies_the_slopes() -> None:
    cells = [measured(n, kind) for n in (1_000, 10_000) for kind in ("small", "photos")]
    text = page(cells, Fleet(pictures=3_600_000, machines=10, cores=4, gbit_s=8))
    assert "| list: read every header | one machine, one core | 1 | 1 |" in text
    assert "| extract: frozen layers once | 10 machines, all cores | 5 | 0.12 |" in text
    assert "| the same, bound by the network | one machine, 8 Gbit/s | 0 | 0.1 |" in text
    assert "Memory of the machine that indexes: 11 GB, 3.00 kB a picture." in text
    assert "extrapolated" not in page(cells[:1])


def test_files_and_tars_hold_the_same_pictures(tmp_path: Path) -> None:
    files = index(write_files(tmp_path / "files", 6))
    assert files.classes == CLASSES
    assert index(write_tars(tmp_path / "tars", 6)).fingerprint == files.fingerprint


def test_a_process_is_watched_part_by_part(tmp_path: Path) -> None:
    code = "mark('hold')\nkept = bytearray(80_000_000)\nmark('idle')\ntime.sleep(0.3)\n"
    start, hold, idle = watch(code, tmp_path).phases
    assert [one.name for one in (start, hold, idle)] == ["start", "hold", "idle"]
    assert hold.held_mb - start.held_mb > 60
    assert idle.seconds >= 0.3
    assert idle.core_seconds < 0.2


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def measure(work: Path, cell: scale.Cell) -> None:
        done.append(cell.name)
        told = {"cell": asdict(cell), "watched": asdict(measured(cell.count).watched), "machine": MACHINE}
        (work / "cells" / f"{cell.name}.json").write_text(json.dumps(told), encoding="utf-8")

    pages: list[str] = []
    monkeypatch.setattr(scale, "_measure", measure)
    monkeypatch.setattr(scale, "write_table", lambda *given: pages.append(given[-1]))
    for counts in ("10", "10 20", "10 20"):
        monkeypatch.setattr("sys.argv", ["scale", "--work", str(tmp_path), "--counts", *counts.split()])
        assert scale.main() == 0
    assert len(done) == len(set(done)) == 12
    assert ("extrapolated" in pages[0], "extrapolated" in pages[1]) == (False, True)
