"""What the runtime weighs on a device: its wheels installed, without and with OpenVINO; and its import.

python -m benchmarks.install
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.targets import Row, table

_ROOT = Path(__file__).parent.parent
_ROUNDS = 15
# By the extra that is installed: megabytes that it may take.
_LIMITS_MB = {"": 200.0, "[openvino]": 380.0}
_IMPORT = (
    "import time; import numpy; t = time.perf_counter(); import edgetl_runtime; "
    "print(1000 * (time.perf_counter() - t))"
)
_FIRST_USE = _IMPORT.replace("import edgetl_runtime; ", "import edgetl_runtime; edgetl_runtime.Session; ")
_LOADED = (
    "import edgetl_runtime, sys, json; "
    "print(json.dumps([m for m in ('PIL', 'onnxruntime', 'openvino', 'torch') if m in sys.modules]))"
)


def measure() -> dict[str, Any]:
    """Install the runtime alone into fresh environments and look at them."""
    found, rows = {}, []
    for extra, limit in _LIMITS_MB.items():
        found[f"edgetl-runtime{extra}"] = one = _look(extra)
        rows.append(Row(f"edgetl-runtime{extra} installed", one["installed_mb"], limit, "MB"))
        rows.append(Row(f"edgetl-runtime{extra} brings torch", float(one["torch"]), 0))
    base = found["edgetl-runtime"]
    rows.append(Row("import over numpy", base["ms_over_numpy"]["import"], 25, "ms"))
    rows.append(Row("engines loaded by the import", len(base["loaded_by_import"]), 0))
    print("\n" + table(rows), flush=True)
    return found | {"targets": [row.facts() for row in rows]}


def _look(extra: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        python = venv / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python]
        pinned = ["--constraint", _ROOT / "constraints.txt"]
        subprocess.run([*install, *pinned, f"edgetl-runtime{extra} @ {_ROOT / 'runtime'}"], check=True)
        site = next(venv.glob("lib/python*/site-packages"))
        total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        names = sorted(path.name for path in site.iterdir() if path.suffix == ".dist-info")
        _output(python, _FIRST_USE)  # Compile to bytecode once.
        times = {
            name: median(float(_output(python, code)) for _ in range(_ROUNDS))
            for name, code in (("import", _IMPORT), ("import and Session", _FIRST_USE))
        }
        return {
            "installed_mb": round(total / 1e6, 1),
            "packages": names,
            "torch": any(name.startswith("torch-") for name in names),
            "ms_over_numpy": {name: round(value, 1) for name, value in times.items()},
            "loaded_by_import": json.loads(_output(python, _LOADED)),
        }


def _output(python: Path, code: str) -> str:
    # Not this process's paths: they would put this tree before what is installed.
    environment = {"PATH": ""}
    command = [python, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
