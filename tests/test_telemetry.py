"""Nothing of ours reports to anybody: no module of telemetry is loaded, and the home folder stays empty."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TRAINING = """
from edgetl.forward import open_forward
from edgetl.frozen import FrozenStages
from edgetl_factories import tiny_backbone

open_forward("openvino", FrozenStages(tiny_backbone(), ()).eval(), 32, "f32")
"""
_EXPORTING = """
import edgetl_exporters
"""


@pytest.mark.parametrize("code", [_TRAINING, _EXPORTING], ids=["training", "exporting"])
def test_neither_training_nor_exporting_tells_anybody(code: str, tmp_path: Path) -> None:
    told = "import sys\nsys.exit('openvino_telemetry' in sys.modules or 'openvino' not in sys.modules)"
    factories = str(Path(__file__).parent / "edgetl")
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join([factories, *sys.path])}
    done = subprocess.run([sys.executable, "-c", code + told], env=environment, check=False)
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []
