"""What the runtime weighs on a device: the size of its wheels installed, and the time of its import."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

_ROOT = Path(__file__).parent.parent
_ROUNDS = 15
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
    """Install the runtime alone into a fresh environment and look at it."""
    with TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        python = venv / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python, _ROOT / "runtime"]
        subprocess.run(install, check=True)
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
            "ms_over_numpy": {name: round(value, 1) for name, value in times.items()},
            "loaded_by_import": json.loads(_output(python, _LOADED)),
            "target": "<= 200 MB, <= 25 ms, nothing loaded",
        }


def _output(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
