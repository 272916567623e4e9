import threading

import pytest
from virtual_machine import REFERENCE_S, VirtualMachine, paced

from edgetl_runtime.pacing import Pace, Timing, reference_ms


def test_the_reference_is_the_same_work_every_time():
    fastest = min(reference_ms() for _ in range(5))
    assert 0.05 < fastest < 500


@pytest.mark.parametrize(("pictures", "blocks"), [(1, 1), (7, 7), (40, 40), (41, 40), (1_000, 40)])
def test_pictures_are_told_in_forty_blocks_or_as_many_as_there_are(pictures, blocks):
    assert len(paced(VirtualMachine(), pictures, 5).blocks) == blocks


def test_a_block_has_the_means_of_its_pictures_and_of_the_workload_between_them():
    machine = VirtualMachine(jitter=0)
    with Pace(80, 1, machine.timing) as pace:
        for done in range(1, 81):
            pace.picture(done, 10.0 + done % 2)
    assert {block.picture_ms for block in pace.blocks} == {10.5}
    assert {block.reference_ms for block in pace.blocks} == {1000 * REFERENCE_S}
    assert {block.parallel_ms for block in pace.blocks} == {None}
    assert pace.reference_ms() == pytest.approx(1000 * REFERENCE_S)


@pytest.mark.parametrize(("picture_ms", "share"), [(1, 0.125), (5, 0.133), (100, 0.02)])
def test_the_workload_takes_an_eighth_of_the_pictures_time_and_runs_once_after_a_picture_at_most(
    picture_ms, share
):
    machine = VirtualMachine(jitter=0)
    with Pace(2_000, 1, machine.timing) as pace:
        for done in range(1, 2_001):
            pace.picture(done, picture_ms)
    assert pace.paused_s / (2 * picture_ms) == pytest.approx(share, rel=0.1)


def test_quick_pictures_have_the_workload_once_in_every_block():
    assert len(paced(VirtualMachine(), 400, 0.01).blocks) == 40


def test_load_that_comes_and_goes_slows_pictures_and_workload_alike():
    calm = paced(VirtualMachine(1), 2_000, 5).blocks
    for length_s in (0.005, 0.05, 1.0):
        loaded = paced(VirtualMachine(2, busy=0.4, length_s=length_s), 2_000, 5).blocks
        slower = [sum(getattr(block, name) for block in loaded) for name in ("picture_ms", "reference_ms")]
        before = [sum(getattr(block, name) for block in calm) for name in ("picture_ms", "reference_ms")]
        assert slower[0] > 1.05 * before[0]
        assert slower[0] / before[0] == pytest.approx(slower[1] / before[1], rel=0.1)


def test_a_stall_counts_as_a_few_pictures():
    machine = VirtualMachine(jitter=0)
    with Pace(400, 1, machine.timing) as pace:
        for done in range(1, 401):
            pace.picture(done, 60_000.0 if done == 395 else 10.0)
    assert [block.picture_ms for block in pace.blocks] == [10.0] * 39 + [(9 * 10 + 50) / 10]


def test_blocks_with_answers_of_an_earlier_run_are_left_out_and_unreadable_pictures_have_no_time():
    machine = VirtualMachine(jitter=0)
    with Pace(80, 1, machine.timing) as pace:
        for done in range(1, 81):
            pace.picture(done, None if done == 79 else 10.0, fresh=done > 21)
    assert len(pace.blocks) == 40 - 11
    assert {block.picture_ms for block in pace.blocks} == {10.0}


def test_an_engine_of_several_threads_has_the_workload_on_so_many_at_once():
    together, most, lock = [0], [0], threading.Lock()
    barrier = threading.Barrier(3)

    def work():
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        if threading.current_thread() is not threading.main_thread():
            barrier.wait(timeout=10)
        with lock:
            together[0] -= 1

    with Pace(2, 3, Timing(work=work)) as pace:
        for done in (1, 2):
            pace.picture(done, 10.0)
    assert most == [3]
    assert all(block.parallel_ms > 0 for block in pace.blocks)


def test_without_a_picture_there_is_no_block_and_yet_a_reference():
    with Pace(0, 1) as pace:
        pass
    assert pace.blocks == []
    assert pace.reference_ms() > 0
