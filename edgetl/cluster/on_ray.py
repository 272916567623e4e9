"""Workers on a Ray cluster. The one file that imports Ray; see docs/decisions/0014 and 0016.

Ray finds cores, starts workers and starts again those that were killed. What they do, and what is kept of it,
is the affair of whoever sends them.
"""

import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from typing import Any

import ray

from edgetl.cluster.head import LOCAL, Head
from edgetl.cluster.shares import Shares, share_out
from edgetl.cluster.workers import Crew, Given, LostWorkers, Piece, Result
from edgetl_runtime.environment import read_cores
from edgetl_runtime.errors import EdgetlError, InputError

# How often Ray starts a worker again that was killed.
_RESTARTS = 3
_LOOK_S, _CANCEL_S = 1.0, 120.0
# No statistics of use, GPUs as without Ray, and workers that are no nicer than this process.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}


@contextmanager
def connected(address: str, remedy: str) -> Iterator["Cluster"]:
    """Connect to a cluster, or make one of this machine that ends with this process.

    Args:
        address: HOST:PORT of the cluster's head, or local. remedy: what to do when the head is lost.

    Raises:
        InputError: it cannot be used.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    own = {"num_cpus": read_cores(), "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(
            f"The Ray cluster {address!r} cannot be used: {first} Check that it runs the same versions of "
            "Ray and Python, and that RAY_AUTH_MODE and the token are those that it was started with."
        ) from error
    try:
        with redirect_stdout(sys.stderr):  # Ray tells there what befell a worker; stdout is the result's.
            yield Cluster(Head(ray.get_runtime_context().gcs_address, remedy))
    finally:
        ray.shutdown()


class Cluster:
    """A Ray cluster that this process is connected to; what it starts is a ray.ObjectRef."""

    def __init__(self, head: Head) -> None:
        self._head = head

    @property
    def machines(self) -> list[int]:
        """The cores of each machine."""
        return [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]

    def keep(self, value: Any) -> Any:
        """Send what several pieces of work are given once."""
        return ray.put(value)

    def start(self, work: Callable[..., Any], given: Sequence[Any], cores: int) -> Any:
        """Start a piece of work; where there is no place for it, it waits."""
        return ray.remote(num_cpus=cores, max_retries=_RESTARTS)(work).remote(*given)

    def look(self, working: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Wait for a moment; return what has ended and what has not.

        Raises:
            LostWorkers: the head has gone.
        """
        ended, left = ray.wait(list(working), num_returns=1, timeout=_LOOK_S)
        self._head.refuse_gone()
        return ended, left

    def result(self, ended: Any) -> Any:
        """Return what came of a piece of work, or raise what it raised.

        Raises:
            LostWorkers: its worker died as often as it was started again, or failed.
        """
        try:
            return ray.get(ended)
        except ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            if isinstance(cause, EdgetlError):
                raise cause from error
            raise LostWorkers(f"A worker has failed: {type(cause).__name__}: {cause}.") from error
        except ray.exceptions.RayError as error:
            raise LostWorkers(str(error).partition("\n")[0]) from error

    def cancel(self, working: Sequence[Any], patience_s: float = _CANCEL_S) -> None:
        """Interrupt pieces of work, and wait for what they keep."""
        for one in working:
            ray.cancel(one, force=False)
        if working:
            ray.wait(list(working), num_returns=len(working), timeout=patience_s)


@dataclass(frozen=True, slots=True)
class RayWorkers:
    """Workers on a cluster, which is connected to as long as they are hired.

    wanted: how many; None is one for each core. remedy: what to do when they are lost. tell: hears how many
    there are.
    """

    address: str
    wanted: int | None
    remedy: str
    tell: Callable[[str], None]

    @contextmanager
    def hired(self, most: int) -> Iterator[Crew]:
        """See `Workers.hired`."""
        with connected(self.address, self.remedy) as cluster:
            shares = share_out(cluster.machines, self.wanted, most)
            self.tell(shares.sentence())
            yield _Crew(cluster, shares, self.remedy)


@dataclass(frozen=True, slots=True)
class _Crew:
    cluster: Cluster
    shares: Shares
    remedy: str

    def each(
        self, work: Callable[[Given, Piece], Result], given: Given, pieces: Iterable[Piece]
    ) -> Generator[tuple[Piece, Result], None, None]:
        """See `Crew.each`."""
        kept, waiting, working = self.cluster.keep(given), iter(pieces), dict[Any, Piece]()
        try:
            while True:
                for piece in islice(waiting, self.shares.workers - len(working)):
                    working[self.cluster.start(work, (kept, piece), self.shares.cores)] = piece
                if not working:
                    return
                for one in self.cluster.look(list(working))[0]:
                    yield working.pop(one), self._result(one)
        finally:  # Whatever ends this early, nobody waits for the rest.
            self.cluster.cancel(list(working), patience_s=0)

    def _result(self, ended: Any) -> Any:
        try:
            return self.cluster.result(ended)
        except LostWorkers as error:
            raise LostWorkers(f"{error} {self.remedy}") from error
