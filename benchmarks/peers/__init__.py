"""Other runtimes in processes and environments of their own, asked for one prediction at a time.

A peer is a script here that takes a step, the bundle, a picture and a folder of its own:

- `prepare` makes in the folder what it opens later, such as an exported model;
- `serve` opens it, says "ready", and then for each line on stdin predicts once and writes how many
  milliseconds that took by its own clock, so that peers take part in a benchmark's rounds without sharing its
  libraries;
- `once` opens it, predicts once and says "answered".
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

_HERE = Path(__file__).parent
_ENVIRONMENTS = Path(".venv-peers")
MODEL_API, ULTRALYTICS = "openvino-model-api", "ultralytics classify, OpenVINO"
PEERS = {MODEL_API: "modelapi.py", ULTRALYTICS: "ultralytics_cls.py"}


@dataclass(slots=True)
class Prepared:
    """The peers that can be started, by name their command without its step; and who is missing, why."""

    folder: Path
    ready: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def command(self, name: str, step: str) -> list[str]:
        """Return what starts a peer's step."""
        python, script, *rest = self.ready[name]
        return [python, script, step, *rest]

    def first_answer_ms(self, name: str) -> float:
        """Start a fresh process and wait for its first answer."""
        begun = time.perf_counter()
        with _process(self.command(name, "once"), self.folder) as process:
            if not _says(process, "answered"):
                raise RuntimeError(f"{process.args!r} stopped")
            return 1000 * (time.perf_counter() - begun)


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
def prepared(bundle: Path, picture: bytes) -> Iterator[Prepared]:
    """Let every peer whose environment is there make what it needs."""
    with TemporaryDirectory() as place:
        found = Prepared(Path(place))
        file = found.folder / "picture.jpg"
        file.write_bytes(picture)
        for name, script in PEERS.items():
            python = _ENVIRONMENTS / Path(script).stem / "bin" / "python"
            if not python.exists():
                found.missing[name] = f"run benchmarks/peers/make.sh {Path(script).stem}"
                continue
            own = found.folder / Path(script).stem
            own.mkdir()
            found.ready[name] = [
                str(python.absolute()),
                str(_HERE / script),
                str(bundle.absolute()),
                str(file),
            ]
            found.ready[name].append(str(own))
            command = found.command(name, "prepare")
            done = subprocess.run(
                command, cwd=own, env=_environment(own), check=False, stdout=subprocess.PIPE
            )
            if done.returncode != 0:
                del found.ready[name]
                found.missing[name] = f"it does not prepare: {' '.join(command)}"
        yield found


@contextmanager
def running(bundle: Path, picture: bytes) -> Iterator[Running]:
    """Start every peer that can be."""
    with prepared(bundle, picture) as ready, ExitStack() as stack:
        found = Running(missing=ready.missing)
        for name in ready.ready:
            command = ready.command(name, "serve")
            process = stack.enter_context(_process(command, ready.folder))
            if not _says(process, "ready"):
                found.missing[name] = f"it does not start: {' '.join(command)}"
                continue
            clock = found.clocks_ms.setdefault(name, [])
            found.ways[name] = lambda process=process, clock=clock: clock.append(_ask(process))
        yield found


def _environment(folder: Path) -> dict[str, str]:
    """Let peers keep their settings in our folder, install nothing and call nobody."""
    own = {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
    own["PYTHONWARNINGS"] = "ignore"
    # Ours would put this tree's packages before theirs.
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | own


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator["subprocess.Popen[str]"]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=None, text=True, cwd=folder, env=_environment(folder)
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _says(process: "subprocess.Popen[str]", word: str) -> bool:
    """Wait for the word; peers also print whatever else they like."""
    assert process.stdout is not None
    return any(line.strip() == word for line in process.stdout)


def _ask(process: "subprocess.Popen[str]") -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("ms "):
            return float(line[3:])
    raise RuntimeError(f"{process.args!r} stopped")
