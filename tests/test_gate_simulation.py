"""The gate errs as seldom as docs/gate.md says: many simulated candidates, decided by its own code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exact_gate import exact_chances

ROOT = Path(__file__).parents[1]
TIMES = 20_000
NOISE = 3 * (0.05 * 0.95 / TIMES) ** 0.5

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows():
    command = [sys.executable, "-m", "benchmarks.gate_simulation", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_the_grid_is_whole(rows):
    assert {row["n"] for row in rows} == {200, 1_000, 5_000}
    assert {row["discordance"] for row in rows} == {0.005, 0.02, 0.08}
    assert len(rows) == 15


def test_a_drop_equal_to_the_margin_passes_no_oftener_than_alpha(rows):
    assert max(row["wrongly_passed"] for row in rows) <= 0.05 + NOISE
    assert max(row["wrongly_passed_exact"] for row in rows) <= 0.05


def test_the_power_is_that_of_exact_enumeration(rows):
    for row in rows:
        assert row["passed"] == pytest.approx(row["passed_exact"], abs=0.02)
        assert row["wrongly_passed"] == pytest.approx(row["wrongly_passed_exact"], abs=0.02)


def test_no_drop_within_the_margin_fails_oftener_than_alpha(rows):
    assert max(row["failed_at_the_margin"] for row in rows) <= 0.05 + NOISE
    assert max(row["failed_inside"] for row in rows) <= 0.05
    assert max(row["wrongly_failed"] for row in rows) <= 0.02


@pytest.mark.parametrize("margin", [0.005, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("ratio", [1.0, 1.05, 1.2, 1.5, 2.0, 3.0, 6.0, 10.0])
def test_between_the_rows_of_the_grid_it_errs_no_oftener(margin, ratio):
    expected = np.unique(np.concatenate([np.arange(0.2, 12, 0.3), np.geomspace(12, 45, 8)]))
    sizes = sorted({max(30, round(many / margin)) for many in expected})
    found = [exact_chances(n, ratio * margin, margin, margin) for n in sizes]
    assert max(one["PASS"] for one in found) <= 0.05
    assert max(one["FAIL"] for one in found) <= 0.052


def test_the_page_shows_these_numbers(rows):
    page = (ROOT / "docs/gate.md").read_text(encoding="utf-8")
    table = page.partition("<!-- simulation: begin -->\n")[2].partition("<!-- simulation: end -->")[0]
    shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    shares = (
        *("wrongly_passed", "wrongly_passed_exact", "failed_at_the_margin", "failed_inside"),
        *("wrongly_failed", "passed", "passed_exact"),
    )
    assert [line[3:] for line in shown] == [[f"{100 * row[name]:.1f} %" for name in shares] for row in rows]
