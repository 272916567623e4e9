"""Whether the head of a cluster is there: whether its address answers. Knows nothing of what it heads."""

import socket
import time

from edgetl.cluster.workers import LostWorkers
from edgetl_runtime.errors import InputError

# In place of an address: a cluster is made of this machine.
LOCAL = "local"
# Ray ends a process a minute after its head has gone, with the code of a failed gate; we are faster.
_PATIENCE_S = 10.0
_CONNECT_S = 5.0


class Head:
    """A head at HOST:PORT, and since when it has not answered.

    remedy: what is kept when it is lost, and what to do.
    """

    def __init__(self, address: str, remedy: str, patience_s: float = _PATIENCE_S) -> None:
        self._address, self._remedy, self._patience_s = address, remedy, patience_s
        self._heard = time.monotonic()

    def refuse_gone(self) -> None:
        """Look after it.

        Raises:
            LostWorkers: it has been silent for long.
        """
        if answers(self._address):
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > self._patience_s:
            raise LostWorkers(f"The head of the Ray cluster, {self._address}, has gone. {self._remedy}")


def refuse_silent(address: str) -> None:
    """Refuse an address where nobody answers, before the work; a cluster that is made here needs none.

    Raises:
        InputError: that is no address, or nobody answers there.
    """
    if address != LOCAL and not answers(address):
        raise InputError(
            f"--ray must be local or the HOST:PORT of a Ray cluster that runs, got {address!r}, where nobody "
            "answers. Start one with: ray start --head --port 6379"
        )


def answers(address: str) -> bool:
    """Tell whether somebody answers at HOST:PORT.

    Raises:
        InputError: that is no address.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 65536):
        raise InputError(f"--ray must be local or HOST:PORT, such as 10.0.0.1:6379, got {address!r}.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return True
    except OSError:
        return False
