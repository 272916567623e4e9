"""Several ranks as threads of one process: what travels between them is pickled, as between processes."""

import pickle
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from edgetl.crew import End, help_with, lead
from edgetl.ranks import LostRank

T = TypeVar("T")


class ThreadWire:
    """A seat at a table where all ranks put down what they have; see `edgetl.crew.Wire`."""

    def __init__(self, rank: int, table: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size = rank, len(table)
        self._table, self._barrier = table, barrier

    def total(self, tensor: Tensor) -> Tensor:
        return sum(self.gather(tensor.detach().clone())[1:], start=self._table_first)

    def gather(self, value: T) -> list[T]:
        self._table[self.rank] = value
        self._wait()
        found = list(self._table)
        self._wait()
        self._table_first: Any = found[0]
        return found

    def broadcast(self, value: object) -> Any:
        sent = pickle.dumps(value) if self.rank == 0 else b""
        return pickle.loads(self.gather(sent)[0])

    def leave(self) -> None:
        """End without a word."""
        self._barrier.abort()

    def _wait(self) -> None:
        try:
            self._barrier.wait(timeout=60)
        except threading.BrokenBarrierError as error:
            raise LostRank("Another rank is gone.") from error


Ended = list[End[Any] | BaseException]


def with_ranks(size: int, work: Callable[[], T], ended: Ended | None = None) -> tuple[T, Ended]:
    """Lead `size` ranks through the work; returns its result and how each helper ended, also in `ended`."""
    table: list[Any] = [None] * size
    barrier = threading.Barrier(size)
    wires = [ThreadWire(rank, table, barrier) for rank in range(size)]
    ended = [] if ended is None else ended
    ended[:] = [TimeoutError("did not end")] * (size - 1)

    def help_out(wire: ThreadWire) -> None:
        try:
            ended[wire.rank - 1] = help_with(wire)
        except BaseException as error:
            ended[wire.rank - 1] = error
            wire.leave()

    threads = [threading.Thread(target=help_out, args=(wire,)) for wire in wires[1:]]
    for thread in threads:
        thread.start()
    try:
        return lead(wires[0], work), ended
    finally:
        for thread in threads:
            thread.join(0.5)  # Who was told of the end needs no more.
        wires[0].leave()
        for thread in threads:
            thread.join(60)
