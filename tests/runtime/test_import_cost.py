"""`import edgetl_runtime` loads nothing heavy, so a command line that only prints its help starts at once."""

import json
import subprocess
import sys

import pytest

HEAVY = ["PIL", "onnxruntime", "openvino", "torch", "onnx", "nncf", "numpy"]


def modules_after(statement: str) -> set[str]:
    """Import in a fresh interpreter; name what it loaded of HEAVY and of ours."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    loaded = set(json.loads(done.stdout))
    return {name for name in loaded if name in HEAVY or name.startswith("edgetl_runtime")}


def test_importing_the_package_loads_none_of_its_modules():
    assert modules_after("import edgetl_runtime") == {"edgetl_runtime"}


def test_the_version_costs_nothing_more():
    assert modules_after("from edgetl_runtime import __version__") == {"edgetl_runtime"}


@pytest.mark.parametrize(
    "statement", ["from edgetl_runtime import Preprocess", "from edgetl_runtime import index"]
)
def test_naming_a_thing_loads_numpy_and_no_decoder_or_engine(statement):
    assert modules_after(statement) & set(HEAVY) == {"numpy"}


def test_every_public_name_resolves_without_a_decoder_an_engine_or_torch():
    statement = "import edgetl_runtime as e\nfor name in e.__all__: getattr(e, name)"
    assert modules_after(statement) & set(HEAVY) == {"numpy"}
