"""Other runtimes in processes and environments of their own, asked for one prediction at a time.

A peer is a script here that reads the bundle and the picture named by its arguments, says "ready", and then
for each line on stdin predicts once and writes how many milliseconds that took by its own clock. So peers
take part in the rounds of a benchmark without sharing its libraries.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

_HERE = Path(__file__).parent
_ENVIRONMENTS = Path(".venv-peers")
PEERS = {"openvino-model-api": "modelapi.py", "ultralytics classify, OpenVINO": "ultralytics_cls.py"}


@dataclass(slots=True)
class Running:
    """The peers that answer: by name a way to predict once, what their clocks said, and who is missing."""

    ways: dict[str, Callable[[], object]] = field(default_factory=dict)
    clocks_ms: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def inside_ms(self, rounds: int) -> dict[str, list[float]]:
        """Return the times of the last rounds by the peers' own clocks, without the pipe between us."""
        return {name: times[-rounds:] for name, times in self.clocks_ms.items()}


@contextmanager
def running(bundle: Path, picture: bytes) -> Iterator[Running]:
    """Start every peer whose environment is there."""
    found = Running()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        file = folder / "picture.jpg"
        file.write_bytes(picture)
        for name, script in PEERS.items():
            python = _ENVIRONMENTS / Path(script).stem / "bin" / "python"
            if not python.exists():
                found.missing[name] = f"run benchmarks/peers/make.sh {Path(script).stem}"
                continue
            command = [str(python.absolute()), str(_HERE / script), str(bundle.absolute()), str(file)]
            process = stack.enter_context(_process(command, folder))
            if not _is_ready(process):
                found.missing[name] = f"it does not start: {' '.join(command)}"
                continue
            clock = found.clocks_ms.setdefault(name, [])
            found.ways[name] = lambda process=process, clock=clock: clock.append(_ask(process))
        yield found


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator["subprocess.Popen[str]"]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=None, text=True, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _is_ready(process: "subprocess.Popen[str]") -> bool:
    """Wait for the word; peers also print whatever else they like."""
    assert process.stdout is not None
    return any(line.strip() == "ready" for line in process.stdout)


def _ask(process: "subprocess.Popen[str]") -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("ms "):
            return float(line[3:])
    raise RuntimeError(f"{process.args!r} stopped")
