"""How rank 0 leads and the others help: orders go out, every rank does its share, the last order is the end.

A helper keeps a copy of each object that the leader works with, a tuner or an extraction, made at the first
order for it. Ctrl-C reaches the leader alone, and between two orders, so nobody is left waiting in one. Knows
nothing of what the orders do, and reaches the other ranks through a `Wire`, see `edgetl.wire`.
"""

import itertools
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from edgetl.ranks import Everywhere, working_with
from edgetl_runtime.errors import EdgetlError, EngineError

T = TypeVar("T")
Making = tuple[Callable[..., object], tuple[Any, ...]]


class Wire(Protocol):
    """What connects the ranks; every call is made by all of them, in the same order.

    Raises:
        LostRank: another rank has ended without a word.
    """

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def total(self, tensor: Tensor) -> Tensor:
        """See `Ranks.total`."""
        ...

    def gather(self, value: T) -> list[T]:
        """See `Ranks.gather`."""
        ...

    def broadcast(self, value: object) -> Any:
        """Return what rank 0 gives; what others give does not matter."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """Call a method of an object.

    number: of the object. make: what makes it, for the first order. dropped: objects that are needed no more.
    """

    number: int
    method: str
    arguments: tuple[Any, ...]
    make: Making | None = None
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class End(Generic[T]):
    """There are no more orders. result: of the work, unless an error ended it."""

    result: T | None
    error: EdgetlError | KeyboardInterrupt | None = None


def take_part(work: Callable[[], T]) -> T:
    """Lead the others through a piece of work, or help whoever does; see `ranks.together`."""
    wire = _connected()
    return lead(wire, work) if wire.rank == 0 else _result(help_with(wire))


def lead(wire: Wire, work: Callable[[], T]) -> T:
    """Do the work, and tell the helpers how it ended.

    What is no `EdgetlError` leaves them without a word: they lose rank 0 when its process ends.
    """
    leader = Leader(wire)
    try:
        with leader.interrupts.listening(), working_with(leader):
            result = work()
    except (EdgetlError, KeyboardInterrupt) as error:
        leader.end(End(None, error))
        raise
    leader.end(End(result))
    return result


def help_with(wire: Wire) -> "End[Any]":
    """Do this rank's share of every order until there are no more."""
    from edgetl.job import flushed_denormals  # As the leader rounds, so do those that help it.

    objects: dict[int, object] = {}
    with _deaf_to_interrupts(), working_with(_Helper(wire)), flushed_denormals():
        while isinstance(order := wire.broadcast(None), Order):
            for number in order.dropped:
                objects.pop(number, None)
            if order.make is not None:
                make, arguments = order.make
                objects[order.number] = make(*arguments)
            getattr(objects[order.number], order.method)(*order.arguments)
    assert isinstance(order, End)
    return order


class _Helper:
    """What a helper sees: it shares with the others, and orders nobody about; see `Ranks`."""

    def __init__(self, wire: Wire) -> None:
        self.rank, self.size, self.total, self.gather = wire.rank, wire.size, wire.total, wire.gather

    def everywhere(self, make: Callable[..., object], arguments: Callable[[], tuple[Any, ...]]) -> Everywhere:
        """See `Ranks.everywhere`."""
        return lambda *_: nullcontext()


class Leader:
    """Rank 0, which alone gives orders; see `Ranks`."""

    def __init__(self, wire: Wire) -> None:
        self.rank, self.size, self.total, self.gather = wire.rank, wire.size, wire.total, wire.gather
        self.interrupts = _Interrupts()
        self._wire, self._numbers = wire, itertools.count()
        self._dropped: list[int] = []
        self._is_broken = False

    def everywhere(self, make: Callable[..., object], arguments: Callable[[], tuple[Any, ...]]) -> Everywhere:
        """See `Ranks.everywhere`."""
        copies = _Copies(self, next(self._numbers), make, arguments)
        # Whoever collects garbage may be in the middle of an order: the next one tells.
        weakref.finalize(copies, self._dropped.append, copies.number)
        return copies.calling

    @contextmanager
    def ordering(
        self, number: int, method: str, arguments: tuple[Any, ...], make: Making | None
    ) -> Iterator[None]:
        """Send an order; the leader's own share is the block. If that fails, the others wait in vain."""
        dropped, self._dropped[:] = tuple(self._dropped), []
        with self.interrupts.held():
            self._is_broken = True
            self._wire.broadcast(Order(number, method, arguments, make, dropped))
            yield
            self._is_broken = False

    def end(self, end: "End[Any]") -> None:
        """Send the last order, unless the helpers still wait for a share of one before."""
        if not self._is_broken:
            with self.interrupts.held():
                self._wire.broadcast(end)


@dataclass(slots=True, weakref_slot=True)
class _Copies:
    """The helpers' copies of one object; `arguments` are asked for once, then forgotten."""

    leader: Leader
    number: int
    make: Callable[..., object]
    arguments: Callable[[], tuple[Any, ...]] | None

    @contextmanager
    def calling(self, method: str, *arguments: Any) -> Iterator[None]:
        make = None if self.arguments is None else (self.make, self.arguments())
        self.arguments = None
        with self.leader.ordering(self.number, method, arguments, make):
            yield


@dataclass(slots=True)
class _Interrupts:
    """Ctrl-C during an order waits for its end. A second one is nothing: the first is being obeyed."""

    _is_held: bool = field(default=False, init=False)
    _is_waiting: bool = field(default=False, init=False)
    _is_told: bool = field(default=False, init=False)

    @contextmanager
    def listening(self) -> Iterator[None]:
        with _handling_interrupts(self._heard):
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._is_waiting:
            self._tell()

    def _heard(self, *_: object) -> None:
        if self._is_held:
            self._is_waiting = True
        elif not self._is_told:
            self._tell()

    def _tell(self) -> None:
        self._is_waiting, told, self._is_told = False, self._is_told, True
        if not told:
            raise KeyboardInterrupt


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Leave Ctrl-C to the leader: it says when a helper's work ends."""
    with _handling_interrupts(signal.SIG_IGN):
        yield


@contextmanager
def _handling_interrupts(handler: Any) -> Iterator[None]:  # Any: what signal.signal takes has no public name
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals reach the main thread alone.
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _connected() -> Wire:
    try:
        from edgetl.wire import connect
    except ModuleNotFoundError as error:
        if error.name != "accelerate":
            raise
        raise EngineError(
            "Training on several ranks needs Accelerate, which is not installed. "
            "Run: pip install 'edgetl[distributed]'."
        ) from error
    return connect()


def _result(end: "End[T]") -> T:
    if end.error is not None:
        raise end.error
    result: T = end.result  # type: ignore[assignment]  # There is one where there is no error.
    return result
