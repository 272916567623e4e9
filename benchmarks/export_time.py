"""How long an export takes, phase by phase, in a fresh process: the demo's run, all variants of a CPU.

The first rung of the int8 ladder suffices for this run. Beside it: what is written unless variants are named.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.targets import Row
from edgetl_exporters.variants import DEFAULT, KINDS, VariantName

_CALIBRATION = 300
_OF_A_CPU = [name for name, kind in KINDS.items() if kind.device is None and not kind.elsewhere]
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
settings = {"max_drop": 0.01, "calibration": int(sys.argv[3]), "variants": sys.argv[4].split(",")}
export_run(Path(sys.argv[1]), Path(sys.argv[2]), watcher=clock, **settings)
clock.phase("end")
print(json.dumps([[name, after - at] for (name, at), (_, after) in zip(clock.phases, clock.phases[1:])]))
"""


def measure(run: Path) -> dict[str, Any]:
    """Export with the first rung of the int8 ladder, which the demo's model does not go beyond."""
    _phases(run, DEFAULT)  # So that all modules are compiled, as they are from the second command on.
    phases = {"all variants of a CPU": _phases(run, _OF_A_CPU), "the default variants": _phases(run, DEFAULT)}
    targets = [
        Row(f"export, {name}", round(sum(taken.values()), 1), 40, "s").facts()
        for name, taken in phases.items()
    ]
    return {"phases_s": phases, "targets": targets}


def _phases(run: Path, variants: Sequence[VariantName]) -> dict[str, float]:
    """Return the seconds of each phase of an export."""
    with TemporaryDirectory() as folder:
        out, count, names = str(Path(folder) / "bundle"), str(_CALIBRATION), ",".join(variants)
        command = [sys.executable, "-c", _CODE, str(run), out, count, names]
        keeping = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(command, env=keeping, check=True, capture_output=True, text=True)
    return {name: round(taken, 1) for name, taken in json.loads(done.stdout.splitlines()[-1])}
