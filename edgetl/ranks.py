"""Who trains together: this process alone, or the ranks that torchrun has started. See docs/distributed.md.

Rank 0 leads: it runs the whole program and takes every decision. The others help: they do their share of what
it orders, and nothing else, so no two ranks can ever disagree about what comes next. Alone, all of this does
nothing. Knows nothing of what is ordered, and loads nothing unless torchrun has started several ranks.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from edgetl_runtime.errors import EdgetlError, InputError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
# What a launcher tells each process that it starts.
_TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

# Order every helper to call a method of its own copy of an object; the leader calls it meanwhile.
Everywhere = Callable[..., AbstractContextManager[None]]


class LostRank(EdgetlError):
    """Another rank has ended without a word, and with it the whole training."""


class Ranks(Protocol):
    """The processes of a training, as one of them sees them.

    rank: of this one, from 0. size: how many there are.
    """

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def total(self, tensor: "Tensor") -> "Tensor":
        """Add up the tensors that all ranks give, each of the same shape; every rank gets the same bits."""
        ...

    def gather(self, value: T) -> list[T]:
        """Give every rank what all of them have, in the order of the ranks."""
        ...

    def everywhere(self, make: Callable[..., object], arguments: Callable[[], tuple[Any, ...]]) -> Everywhere:
        """Prepare a copy of an object on every helper.

        Args:
            make: gives the copy; a function of a module. arguments: what it is given, asked for at the first
                call, when the object is as far as its copies shall be.
        """
        ...


class Alone:
    """One process: what all have is what it has, and there is nobody to order about."""

    rank, size = 0, 1

    def total(self, tensor: "Tensor") -> "Tensor":
        """See `Ranks.total`."""
        return tensor

    def gather(self, value: T) -> list[T]:
        """See `Ranks.gather`."""
        return [value]

    def everywhere(self, make: Callable[..., object], arguments: Callable[[], tuple[Any, ...]]) -> Everywhere:
        """See `Ranks.everywhere`."""
        return lambda *_: nullcontext()


_ALONE = Alone()
_here: ContextVar[Ranks] = ContextVar("ranks", default=_ALONE)
_sharing: ContextVar[int] = ContextVar("sharing", default=1)


def here() -> Ranks:
    """Return the ranks that this process works with."""
    return _here.get()


@contextmanager
def working_with(ranks: Ranks) -> Iterator[None]:
    """Let `here` give these ranks meanwhile."""
    token = _here.set(ranks)
    try:
        yield
    finally:
        _here.reset(token)


def share(count: int, ranks: Ranks) -> range:
    """Return which of so many things are this rank's: neighbours, as many for each as can be."""
    return range(ranks.rank * count // ranks.size, (ranks.rank + 1) * count // ranks.size)


def together(work: Callable[[], T]) -> T:
    """Do a piece of work with all ranks that were started; each gets its result, or its error.

    Raises:
        LostRank: another rank has ended without a word.
    """
    if not started():
        return work()
    from edgetl.crew import take_part

    return take_part(work)


def started() -> bool:
    """Tell whether a launcher such as torchrun has started this process as one of several.

    Raises:
        InputError: what it says of them makes no sense.
    """
    if any(name not in os.environ for name in _TOLD):
        return False
    told = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE")}
    if not all(value.isdecimal() for value in told.values()) or int(told["RANK"]) >= int(told["WORLD_SIZE"]):
        raise InputError(
            f"RANK must be a number from 0 below WORLD_SIZE, got {told!r}. Start the ranks with torchrun, "
            "which sets both, or unset RANK to train in one process."
        )
    return int(told["WORLD_SIZE"]) > 1


@contextmanager
def sharing_cores(processes: int) -> Iterator[None]:
    """Let `on_this_machine` count so many processes meanwhile, each with work of its own: no ranks."""
    token = _sharing.set(processes)
    try:
        yield
    finally:
        _sharing.reset(token)


def on_this_machine() -> int:
    """Return how many processes share this machine's processors with this one, itself included."""
    if here().size > 1:
        return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return _sharing.get()
