from pathlib import Path

import pytest

from edgetl_runtime.engines import contexts
from edgetl_runtime.errors import EngineError


class Options:
    """Takes entries as onnxruntime.SessionOptions does."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class Compiler:
    """Compiles a file to its bytes backwards, as a provider does that keeps contexts."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.opened: list[str] = []

    def __call__(self, file: Path) -> bytes:
        self.opened.append(file.name.partition("-")[0])
        content = file.read_bytes()
        if content == b"damaged":
            raise EngineError("damaged")
        if file.name.startswith("context-"):
            return content
        Path(self.options.entries["ep.context_file_path"]).write_bytes(content[::-1])
        return content[::-1]


def compiled(place: Path, model: Path, facts: str = "v73") -> tuple[bytes, list[str]]:
    options = Options()
    compiler = Compiler(options)
    return contexts.opened(place, model, facts, options, compiler), compiler.opened


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"abc")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    path.mkdir()
    return path


def test_what_was_compiled_once_is_opened_as_it_is(place: Path, model: Path) -> None:
    assert compiled(place, model) == (b"cba", ["model.onnx"])
    assert compiled(place, model) == (b"cba", ["context"])
    assert len(list(place.iterdir())) == 1


def test_another_model_or_another_device_is_compiled_anew(place: Path, model: Path) -> None:
    compiled(place, model)
    assert compiled(place, model, facts="v75") == (b"cba", ["model.onnx"])
    model.write_bytes(b"abd")
    assert compiled(place, model) == (b"dba", ["model.onnx"])


def test_a_damaged_context_is_compiled_again_and_replaced(place: Path, model: Path) -> None:
    compiled(place, model)
    next(place.iterdir()).write_bytes(b"damaged")
    assert compiled(place, model) == (b"cba", ["context", "model.onnx"])
    assert compiled(place, model) == (b"cba", ["context"])


def test_a_model_that_does_not_compile_leaves_nothing(place: Path, model: Path) -> None:
    model.write_bytes(b"damaged")
    with pytest.raises(EngineError, match="damaged"):
        compiled(place, model)
    assert list(place.iterdir()) == []
