"""Rank 0 leads and the others help: orders, how they end, and Ctrl-C between them."""

import gc
import os
import signal
from typing import Any, ClassVar

import pytest
import torch
from thread_ranks import with_ranks

from edgetl.crew import End
from edgetl.ranks import LostRank, here
from edgetl_runtime.errors import InputError


class Ledger:
    """Adds up what the ranks put in; a copy remembers what it was called with."""

    made: ClassVar[list["Ledger"]] = []

    def __init__(self, start: int) -> None:
        self.ranks, self.calls = here(), [start]
        self._everywhere = self.ranks.everywhere(Ledger, lambda: (start + sum(self.calls[1:]),))
        Ledger.made.append(self)

    def add(self, value: int) -> float:
        with self._everywhere("add", value):
            self.calls.append(value)
            return self.ranks.total(torch.tensor(float(value + self.ranks.rank))).item()

    def fail(self, where: int) -> None:
        with self._everywhere("fail", where):
            if self.ranks.rank == where:
                raise ZeroDivisionError
            self.ranks.gather(None)


@pytest.fixture(autouse=True)
def no_ledgers() -> None:
    Ledger.made = []


def test_every_rank_does_its_share_of_an_order() -> None:
    def work() -> list[float]:
        ledger = Ledger(5)
        return [ledger.add(1), ledger.add(10)]

    found, ended = with_ranks(3, work)
    assert found == [1 + 2 + 3, 10 + 11 + 12]
    assert [one.calls for one in Ledger.made] == [[5, 1, 10]] * 3
    assert ended == [End(found)] * 2


def test_a_copy_begins_where_the_object_is_at_the_first_order() -> None:
    def work() -> None:
        ledger = Ledger(5)
        ledger.calls.append(4)
        ledger.add(1)

    with_ranks(2, work)
    assert [one.calls for one in Ledger.made] == [[5, 4, 1], [9, 1]]


def test_what_the_leader_forgot_its_helpers_forget_with_the_next_order() -> None:
    def work() -> int:
        for _ in range(3):
            Ledger(0).add(1)
            Ledger.made.clear()
            gc.collect()
        kept = Ledger(0)
        kept.add(1)
        Ledger.made.clear()
        gc.collect()
        return sum(type(one) is Ledger for one in gc.get_objects())

    assert with_ranks(2, work)[0] == 2


def test_one_process_works_without_orders() -> None:
    assert [Ledger(5).add(1), len(Ledger.made)] == [1.0, 1]


@pytest.mark.parametrize("error", [InputError("The picture is bad."), KeyboardInterrupt()])
def test_how_the_work_ended_every_rank_is_told(error: BaseException) -> None:
    ended: list[Any] = []

    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        with_ranks(3, work, ended)
    assert [type(one.error) for one in ended] == [type(error)] * 2
    assert [str(one.error) for one in ended] == [str(error)] * 2


def test_a_fault_ends_the_leader_and_its_helpers_lose_it() -> None:
    ended: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        with_ranks(2, lambda: 1 // 0, ended)
    assert [type(one) for one in ended] == [LostRank]


def test_a_helper_that_fails_takes_the_others_with_it() -> None:
    ended: list[Any] = []
    with pytest.raises(LostRank):
        with_ranks(3, lambda: Ledger(0).fail(1), ended)
    assert [type(one) for one in ended] == [ZeroDivisionError, LostRank]


def test_a_leader_that_fails_in_an_order_leaves_without_a_word() -> None:
    """Its helpers wait for its share of the order, so they could not hear it."""
    ended: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        with_ranks(2, lambda: Ledger(0).fail(0), ended)
    assert [type(one) for one in ended] == [LostRank]


class Interrupted(Ledger):
    """Presses Ctrl-C in the middle of an order."""

    def add(self, value: int) -> float:
        with self._everywhere("add", value):
            if self.ranks.rank == 0:
                os.kill(os.getpid(), signal.SIGINT)
            self.calls.append(value)
            return self.ranks.total(torch.tensor(float(value))).item()


def test_ctrl_c_waits_for_the_end_of_an_order_and_a_second_one_is_nothing() -> None:
    heard: list[str] = []

    def work() -> str:
        ledger = Interrupted(0)
        try:
            ledger.add(1)
        except KeyboardInterrupt:
            heard.append(f"after {ledger.calls}")
        os.kill(os.getpid(), signal.SIGINT)
        ledger.add(2)
        return "written"

    before = signal.getsignal(signal.SIGINT)
    found, ended = with_ranks(2, work)
    assert heard == ["after [0, 1]"]
    assert (found, ended) == ("written", [End("written")])
    assert [one.calls for one in Ledger.made] == [[0, 1, 2], [0, 1, 2]]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_between_two_orders_is_heard_at_once() -> None:
    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        Ledger(0).add(1)

    with pytest.raises(KeyboardInterrupt):
        with_ranks(2, work)
    assert Ledger.made == []
