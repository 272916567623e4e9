"""Whether the head of a cluster is there: whether its address answers. Knows nothing of what it heads."""

import socket
import time

from edgetl.search.trials import LostWorkers
from edgetl_runtime.errors import InputError

# Ray ends a process a minute after its head has gone, with the code of a failed gate; we are faster.
_PATIENCE_S = 10.0
_CONNECT_S = 5.0


class Head:
    """A head at HOST:PORT, and since when it has not answered."""

    def __init__(self, address: str, patience_s: float = _PATIENCE_S) -> None:
        self._address, self._patience_s = address, patience_s
        self._heard = time.monotonic()

    def refuse_gone(self) -> None:
        """Look after it.

        Raises:
            LostWorkers: it has been silent for long.
        """
        if answers(self._address):
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > self._patience_s:
            raise LostWorkers(
                f"The head of the Ray cluster, {self._address}, has gone. Finished trials are kept: "
                "start the cluster again, and give the same command."
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
