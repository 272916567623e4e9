"""How long an export takes, phase by phase, in a fresh process: the demo's run, all variants of a CPU."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.targets import Row

_CALIBRATION = 300
_CODE = """
import json, sys, time
begun = time.perf_counter()
from pathlib import Path
from edgetl.pipeline import export_run
from edgetl_exporters.model import Silent

class Clock(Silent):
    phases = [("imports", begun)]
    def phase(self, name):
        self.phases.append((name, time.perf_counter()))

clock = Clock()
clock.phase("run")
export_run(Path(sys.argv[1]), Path(sys.argv[2]), max_drop=0.01, calibration=int(sys.argv[3]), watcher=clock)
clock.phase("end")
print(json.dumps([[name, after - at] for (name, at), (_, after) in zip(clock.phases, clock.phases[1:])]))
"""


def measure(run: Path) -> dict[str, Any]:
    """Export with both standard quantizers, which the demo's model does not go beyond."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _CODE, str(run), str(Path(folder) / "bundle"), str(_CALIBRATION)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    phases = json.loads(done.stdout.splitlines()[-1])
    seconds = sum(taken for _, taken in phases)
    row = Row("export with all variants of a CPU", round(seconds, 1), 40, "s")
    return {"phases_s": {name: round(taken, 1) for name, taken in phases}, "targets": [row.facts()]}
