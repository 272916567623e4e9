"""Workers that are this very process: what they are sent makes the journey through pickle."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from edgetl.cluster.shares import Shares
from edgetl.cluster.workers import LostWorkers


class Here:
    """A crew, and the workers of which it is hired.

    late: the piece of this number ends after the one that follows it. lost: so many pieces are done before
    nobody is there any more.
    """

    def __init__(self, workers: int = 2, *, late: int | None = None, lost: int | None = None) -> None:
        self.shares = Shares(workers, 1)
        self.pieces: list[Any] = []
        self._late, self._lost = late, lost

    @contextmanager
    def hired(self, most: int) -> Iterator["Here"]:
        yield self

    def each(
        self, work: Callable[[Any, Any], Any], given: Any, pieces: Iterable[Any]
    ) -> Iterator[tuple[Any, Any]]:
        held: list[tuple[Any, Any]] = []
        sent = pickle.dumps((work, given))
        for number, piece in enumerate(pieces):
            if number == self._lost:
                raise LostWorkers("A worker was lost.")
            self.pieces.append(piece)
            function, arguments = pickle.loads(sent)
            done = piece, pickle.loads(pickle.dumps(function(arguments, pickle.loads(pickle.dumps(piece)))))
            if number == self._late:
                held.append(done)
                continue
            yield done
            yield from held
            held.clear()
        yield from held
