"""The gate errs as seldom as docs/gate.md says: many simulated candidates, decided by its own code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exact_gate import exact_chances

from benchmarks.gate_simulation import tables

ROOT = Path(__file__).parents[1]
TIMES = 20_000
NOISE = 3 * (0.05 * 0.95 / TIMES) ** 0.5

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulated():
    command = [sys.executable, "-m", "benchmarks.gate_simulation", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rows(simulated):
    return simulated["simulation"]


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


def test_the_same_model_exported_again_passes_in_99_percent_at_the_margin_that_suits_the_pictures(simulated):
    rows = simulated["alike"]
    assert {row["n"] for row in rows} == {1_000, 5_000, 10_000}
    assert {row["discordance"] for row in rows} >= {0.001, 0.003}
    assert min(row["passed"] for row in rows) >= 0.99 - 3 * (0.01 * 0.99 / TIMES) ** 0.5
    assert min(row["passed_exact"] for row in rows) >= 0.99
    at_half_a_point = [row["passed_at_half_a_point"] for row in rows if row["n"] == 5_000]
    assert [chance >= 0.99 for chance in at_half_a_point] == [True, True, True, False]


def test_the_page_shows_these_numbers(simulated):
    page = (ROOT / "docs/gate.md").read_text(encoding="utf-8")
    for name, text in tables(simulated).items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        assert page.partition(begin)[2].partition(end)[0] == text
