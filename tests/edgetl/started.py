"""Commands as processes of their own, and a Ray cluster on this machine that can be killed as a whole."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 400


def start(words: Sequence[str], **environment: str) -> subprocess.Popen[str]:
    """Start it; what it prints can be read at its end."""
    pipe = subprocess.PIPE
    everything = os.environ | environment
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=everything)


def wait_for(found: Callable[[], T], of: subprocess.Popen[str]) -> T:
    """Look until there is something, while a process is at work on it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (something := found()):
        assert of.poll() is None, of.communicate()
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.1)
    return something


class Cluster:
    """A head on this machine with two cores to give, and what its users must have in their environment."""

    def __init__(self, home: Path) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.folder = Path(tempfile.mkdtemp(prefix="edgetl-ray-"))  # Paths of sockets must be short.
        self.environment = {
            "HOME": str(home),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # As other tests; else a busy machine would starve them.
        }

    def begin(self) -> None:
        ray = Path(sys.executable).with_name("ray")
        words = [ray, "start", "--head", "--port", self.address.rpartition(":")[2], "--num-cpus", "2"]
        words += ["--include-dashboard=false", "--temp-dir", self.folder]
        subprocess.run(words, env=os.environ | self.environment, check=True, capture_output=True)

    def kill(self) -> None:
        """Kill every process of the head at once."""
        for pid in (pid for pid, words, _ in _processes() if str(self.folder) in words):
            if pid != os.getpid():
                with suppress(ProcessLookupError):  # It has just ended.
                    os.kill(pid, signal.SIGKILL)

    def at_work(self, function: str) -> list[int]:
        """Return the workers of this cluster that are doing this now."""
        found = list(_processes())
        own = {pid for pid, words, _ in found if str(self.folder) in words}
        return [pid for pid, words, parent in found if f"ray::{function}" in words and parent in own]


def _processes() -> Iterator[tuple[int, str, int]]:
    """Yield each process with its words and its parent."""
    for pid in map(int, filter(str.isdecimal, (one.name for one in Path("/proc").iterdir()))):
        with suppress(FileNotFoundError, ProcessLookupError):  # It has just ended.
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            yield pid, words, int(after[1])
