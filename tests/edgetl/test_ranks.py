"""Who trains together, read from the environment, and what one process has of it: nothing."""

import sys

import pytest
import torch
from thread_ranks import ThreadWire

from edgetl.ranks import Alone, here, on_this_machine, share, sharing_cores, started, together, working_with
from edgetl_runtime.errors import EngineError, InputError

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


@pytest.fixture
def under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("count", "size"), [(32, 1), (32, 2), (10, 3), (2, 4), (0, 2)])
def test_the_shares_of_all_ranks_are_everything_once_and_even(count: int, size: int) -> None:
    shares = [share(count, ThreadWire(rank, [None] * size, None)) for rank in range(size)]
    assert [place for one in shares for place in one] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_has_all_and_orders_nobody_about() -> None:
    alone, tensor = here(), torch.ones(2)
    assert isinstance(alone, Alone)
    assert (alone.rank, alone.size, list(share(3, alone))) == (0, 1, [0, 1, 2])
    assert alone.total(tensor) is tensor
    assert alone.gather("mine") == ["mine"]
    with alone.everywhere(dict, tuple)("anything", 1):
        pass


def test_without_a_launcher_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    assert not started()
    assert together(lambda: 7) == 7


@pytest.mark.usefixtures("under_torchrun")
def test_torchrun_with_one_process_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not started()


@pytest.mark.usefixtures("under_torchrun")
def test_a_cluster_that_sets_the_size_alone_has_started_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR")
    assert not started()


@pytest.mark.usefixtures("under_torchrun")
@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("x", "2"), ("0", "-1")])
def test_a_rank_that_makes_no_sense_is_refused(rank: str, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(
        InputError, match=r"^RANK must be a number from 0 below WORLD_SIZE, got .* unset RANK"
    ):
        started()


@pytest.mark.usefixtures("under_torchrun")
def test_without_accelerate_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edgetl.wire", raising=False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(EngineError, match=r"Run: pip install 'edgetl\[distributed\]'\.$"):
        together(lambda: 7)


@pytest.mark.usefixtures("under_torchrun")
def test_ranks_that_would_share_a_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate", reason="Accelerate is not installed (extra distributed)")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"^3 ranks on this machine need a GPU each, and torch finds 2\."):
        together(lambda: 7)


def test_ranks_of_one_machine_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert on_this_machine() == 1
    with working_with(ThreadWire(0, [None] * 8, None)):
        assert on_this_machine() == 4
    assert on_this_machine() == 1
    with sharing_cores(3):
        assert on_this_machine() == 3
    assert on_this_machine() == 1
