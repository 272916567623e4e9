import math
from dataclasses import replace

import numpy as np
import pytest
from receipt_factories import flipped
from virtual_machine import VirtualMachine, timed

from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.gating import Limits, gate
from edgetl_runtime.performance import Block, Performance
from edgetl_runtime.slowdown import slowdown

BEFORE, AFTER = flipped(lost=0, gained=0, both=1_000)
LOADS = {
    "calm": {},
    "bursts of 5 ms": {"busy": 0.4, "length_s": 0.005},
    "bursts of 50 ms": {"busy": 0.4},
    "bursts of a second": {"busy": 0.4, "length_s": 1.0},
    "half as fast": {"busy": 1.0, "factor": 2.0},
    "stalls": {"stalls": 2.0},
}


def outcome(baseline, candidate, limit=1.2):
    verdict = gate(baseline, candidate, limits=Limits(latency_ratio=limit))
    return next(rule.outcome for rule in verdict.rules if rule.name == "latency")


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_load_raises_no_alarm_and_hides_no_slowdown(load):
    same, slower = [], []
    for seed in range(12):
        baseline = timed(BEFORE, VirtualMachine(seed))
        same.append(outcome(baseline, timed(AFTER, VirtualMachine(100 + seed, **load))))
        slower.append(outcome(baseline, timed(AFTER, VirtualMachine(200 + seed, **load), picture_ms=15.0)))
    assert "FAIL" not in same
    assert "PASS" not in slower
    assert same.count("PASS") >= 7
    assert slower.count("FAIL") >= 7


def test_a_calm_machine_tells_a_few_percent():
    baseline = timed(BEFORE, VirtualMachine(1))
    found = slowdown(baseline, timed(AFTER, VirtualMachine(2), picture_ms=11.0), 0.9)
    assert found.value == pytest.approx(1.1, rel=0.01)
    assert 1.08 < found.interval.low < 1.1 < found.interval.high < 1.12


def told(receipt, blocks, *, threads=1):
    return replace(receipt, performance=Performance(threads=threads, blocks=tuple(blocks)))


def test_the_interval_is_students_of_the_influences_of_the_blocks():
    rng = np.random.default_rng(0)
    times = rng.uniform(5, 15, (10, 1)) * rng.normal(1, 0.02, (10, 4))
    sides = [told(BEFORE, map(Block, *times[:, :2].T)), told(AFTER, map(Block, *times[:, 2:].T))]
    found = slowdown(*sides, 0.9)
    means = times.mean(axis=0)
    value = math.log(means[2] / means[3] / means[0] * means[1])
    influences = (times / means - 1) @ [-1, 1, 1, -1]
    arm = 1.8331 * influences.std(ddof=1) / 10**0.5  # the table's quantile of nine degrees of freedom
    assert found.value == pytest.approx(math.exp(value))
    assert found.interval.low == pytest.approx(math.exp(value - arm), rel=1e-4)
    assert found.interval.high == pytest.approx(math.exp(value + arm), rel=1e-4)


def test_an_engine_of_several_threads_is_held_against_both_workloads():
    before = [Block(10.0 + k % 2, 2.0, 2.0) for k in range(40)]
    # Half of the cores are taken: one thread is not slowed, all at once are, and pictures by half of that.
    loaded = [Block(15.0 + k % 2, 2.0, 4.0) for k in range(40)]
    found = slowdown(told(BEFORE, before), told(AFTER, loaded), 0.9)
    assert found.interval.low < 0.75
    assert found.interval.high > 1.45
    assert outcome(told(BEFORE, before), told(AFTER, loaded)) == "INCONCLUSIVE"
    slower = [Block(15.0 + k % 2, 2.0, 2.0) for k in range(40)]
    assert outcome(told(BEFORE, before), told(AFTER, slower)) == "FAIL"


def test_receipts_without_times_or_with_those_of_other_blocks_are_refused():
    blocks = [Block(10.0, 2.0)] * 40
    with pytest.raises(
        ReceiptError, match=r"receipt of the baseline tells the times of 0 blocks .*needs 5\. Validate again"
    ):
        slowdown(BEFORE, told(AFTER, blocks), 0.9)
    with pytest.raises(ReceiptError, match="receipt of the candidate tells the times of 4 blocks"):
        slowdown(told(BEFORE, blocks), told(AFTER, blocks[:4]), 0.9)
    with pytest.raises(ReceiptError, match=r"times of 40 and 13 blocks .* in one go, without --resume"):
        slowdown(told(BEFORE, blocks), told(AFTER, blocks[:13]), 0.9)


def test_other_cores_and_threads_are_refused_unless_asked_for():
    blocks = [Block(10.0, 2.0)] * 40
    baseline = told(BEFORE, blocks)
    cores = replace(told(AFTER, blocks), environment=replace(AFTER.environment, cores=8))
    with pytest.raises(ReceiptError, match="The cores of the baseline were 2, of the candidate 8"):
        slowdown(baseline, cores, 0.9)
    with pytest.raises(
        ReceiptError, match="The threads of the baseline were 1, of the candidate left to the"
    ):
        slowdown(baseline, told(AFTER, blocks, threads=None), 0.9)
    for candidate in (cores, told(AFTER, blocks, threads=None)):
        assert slowdown(baseline, candidate, 0.9, across_machines=True).value == pytest.approx(1)
