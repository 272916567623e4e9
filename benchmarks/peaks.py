"""What a piece of work takes in a process of its own: seconds, core seconds, and the memory that it holds."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Anonymous memory is what the process holds; pages of mapped files can be dropped and read again.
_BEFORE = """
import json, threading, time
held, marks = [0], []
def watch():
    while True:
        with open("/proc/self/status") as status:
            told = next(line for line in status if line.startswith("RssAnon:"))
        held[0] = max(held[0], int(told.split()[1]))
        time.sleep(0.1)
threading.Thread(target=watch, daemon=True).start()
def now():
    return time.perf_counter(), time.process_time()
def mark(name):
    end = now()
    time.sleep(0.15)  # so that the peak until now has been seen
    marks.append((name, end, held[0], now()))
mark("start")
"""
_AFTER = """
mark("end")
phases = [
    {"name": a[0], "seconds": b[1][0] - a[3][0], "core_seconds": b[1][1] - a[3][1], "held_mb": b[2] / 1000}
    for a, b in zip(marks, marks[1:])
]
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
print(json.dumps({"phases": phases, "with_mapped_files_mb": peak / 1000}))
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the work: all that came before it counts into held_mb, the peak of anonymous memory."""

    name: str
    seconds: float
    core_seconds: float
    held_mb: float


@dataclass(frozen=True, slots=True)
class Watched:
    """What a process took, part by part; with_mapped_files_mb: its peak with pages that can be dropped."""

    phases: tuple[Phase, ...]
    with_mapped_files_mb: float

    @property
    def held_mb(self) -> float:
        """The most anonymous memory at any time."""
        return self.phases[-1].held_mb

    @property
    def seconds(self) -> float:
        """The time of all parts."""
        return sum(one.seconds for one in self.phases)


def watch(code: str, cache: Path) -> Watched:
    """Run Python code, in which `mark("name")` begins a part; the part before the first is called start."""
    environment = os.environ | {"EDGETL_CACHE": str(cache)}
    command = [sys.executable, "-c", _BEFORE + code + _AFTER]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return Watched(tuple(Phase(**one) for one in told["phases"]), told["with_mapped_files_mb"])
