"""Whether the process that began a trial is alive: it holds a lock in the study's folder while it lives.

The system drops the lock when a process ends, however it ends, and no number of a process can be taken for
another's. Of processes that keep their runs elsewhere, nothing is known here; their heartbeat tells.
"""

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORKERS = ".workers"


@contextmanager
def at_work(study: Path) -> Iterator[str]:
    """Yield a token that lives as long as the block, or the process; its file stays and tells the end."""
    token = secrets.token_hex(8)
    with _locked(study / WORKERS / token):
        yield token


def this_process() -> dict[str, Any]:
    """Say where this process is to be found."""
    return {"machine": socket.gethostname(), "pid": os.getpid()}


def is_dead(study: Path, token: str) -> bool:
    """Tell whether a process is known to have ended: its lock is here, and nobody holds it."""
    try:
        with (study / WORKERS / token).open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except (FileNotFoundError, BlockingIOError):  # It keeps its runs elsewhere, or it lives.
        return False


@contextmanager
def alone(study: Path, what: str) -> Iterator[None]:
    """Let one process at a time do this in the study's folder; the others wait."""
    with _locked(study / WORKERS / f"{what}.lock"):
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
