"""Workers elsewhere, as whoever sends them pieces of work sees them. Knows nothing of what they run on."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

from edgetl.cluster.shares import Shares
from edgetl_runtime.errors import EdgetlError

Given = TypeVar("Given")
Piece = TypeVar("Piece")
Result = TypeVar("Result")


class LostWorkers(EdgetlError):
    """Workers elsewhere have died or could not work, and what they were to do is not done."""


class Crew(Protocol):
    """Workers that are there now."""

    @property
    def shares(self) -> Shares:
        """How many they are, and how many cores each may keep busy."""
        ...

    def each(
        self, work: Callable[[Given, Piece], Result], given: Given, pieces: Iterable[Piece]
    ) -> Generator[tuple[Piece, Result], None, None]:
        """Have every piece done, one by each worker at a time; yield each with what came of it, as they end.

        Args:
            work: a function of a module. given: what all pieces need, sent once. pieces: the next is asked
                for when a worker is free.

        Raises:
            LostWorkers: a piece was lost with its worker, again and again, or nobody is there any more.
        """
        ...


class Workers(Protocol):
    """Workers that can be had."""

    def hired(self, most: int) -> AbstractContextManager[Crew]:
        """Have them while the block lasts; more than `most` would have nothing to do."""
        ...


_helpers: ContextVar[Workers | None] = ContextVar("helpers", default=None)


def helpers() -> Workers | None:
    """Return the workers that shall help this process, if there are any."""
    return _helpers.get()


@contextmanager
def helped_by(workers: Workers | None) -> Iterator[None]:
    """Let `helpers` give these workers meanwhile."""
    token = _helpers.set(workers)
    try:
        yield
    finally:
        _helpers.reset(token)
