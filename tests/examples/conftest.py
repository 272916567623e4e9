"""Loads an example as the program that it is."""

import importlib.util
import sys
from pathlib import Path

import pytest
from tiny_bundle import CLASSES, tiny_bundle, write_colour

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example():
    """Return the module of an example file."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def bundle(tmp_path):
    return tiny_bundle(tmp_path / "bundle", name="Colours on the belt")


@pytest.fixture
def baseline(tmp_path, bundle):
    """Measure the bundle on sixty pictures."""
    from edgetl_runtime.commands import Where, run_validate

    for number in range(60):
        colour = CLASSES[number % 3]
        write_colour(tmp_path / "data" / colour / f"{number}.png", colour, number)
    return run_validate(bundle, tmp_path / "data", where=Where("onnx-fp32"), split="all")
