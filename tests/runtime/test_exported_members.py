"""The public names are the table in `__init__`, and every way to import them gives the same object."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import edgetl_runtime

PUBLIC = [name for name in edgetl_runtime.__all__ if name != "__version__"]


def test_the_names_are_sorted_and_written_once():
    assert edgetl_runtime.__all__ == sorted(set(edgetl_runtime.__all__))


def test_dir_shows_the_public_names_and_nothing_else():
    assert dir(edgetl_runtime) == edgetl_runtime.__all__


def test_the_version_is_written_literally_for_the_build():
    source = Path(edgetl_runtime.__file__).read_text("utf-8")
    assert source.count(f'__version__ = "{edgetl_runtime.__version__}"') == 1


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_the_object_of_that_name_in_its_module(name):
    found = getattr(edgetl_runtime, name)
    assert found.__name__ == name
    home = importlib.import_module(found.__module__)
    assert home.__name__.startswith("edgetl_runtime.")
    assert getattr(home, name) is found
    importlib.import_module(f"edgetl_runtime.{home.__name__.split('.')[1]}")
    assert getattr(edgetl_runtime, name) is found


def test_no_module_shares_its_name_with_a_public_object():
    modules = {module.name for module in pkgutil.iter_modules(edgetl_runtime.__path__)}
    assert modules.isdisjoint(PUBLIC)


def test_type_checkers_and_the_interpreter_see_the_same_names():
    tree = ast.parse(Path(edgetl_runtime.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {
        name: f"edgetl_runtime.{module}" for name, module in edgetl_runtime._MODULE_OF.items()
    }
    assert sorted(imported) == PUBLIC


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'edgetl_runtime' has no attribute 'nonsense'"):
        _ = edgetl_runtime.nonsense
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from edgetl_runtime import nonsense")


def test_the_package_is_typed():
    assert (Path(edgetl_runtime.__file__).parent / "py.typed").is_file()
