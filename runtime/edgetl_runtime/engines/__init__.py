"""The engines that run a variant: one table, one small protocol, and each engine in a file of its own."""

from collections.abc import Sequence
from importlib import import_module, util
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.engines.telemetry import without_telemetry
from edgetl_runtime.errors import BundleError, EngineError
from edgetl_runtime.manifest import Execution

# Latency: one run at a time on all threads. Throughput: several at once, each slower.
Hint = Literal["latency", "throughput"]

ENGINES = {
    "onnxruntime": "edgetl_runtime.engines.ort:OrtEngine",
    "openvino": "edgetl_runtime.engines.openvino:OpenVinoEngine",
}
_INSTALL = {
    "onnxruntime": "pip install onnxruntime",
    "openvino": "pip install 'edgetl-runtime[openvino]'",
}
# What firmware opens, and why no engine here does.
_EMBEDDED = {
    "ethos-u": "is for firmware: a microcontroller with an Arm Ethos-U runs it, by TensorFlow Lite Micro and "
    "Arm's driver, and no Python. Build its files in as docs/quantization.md says, or name another variant "
    "here.",
}


class Engine(Protocol):
    """A graph compiled for one device and one batch, to be run from any thread.

    executed_device: where it truly runs, as the engine reports it: "cpu". version: of the engine. driver: the
    model and driver of that device, as far as the engine tells. cache: where it may keep what it compiled.
    """

    executed_device: str
    version: str
    driver: str

    def __init__(
        self,
        model: Path,
        *,
        device: str,
        execution: Execution,
        batch: int,
        threads: int | None,
        hint: Hint = "latency",
        cache: Path | None = None,
    ) -> None: ...

    @classmethod
    def devices(cls) -> dict[str, str]:
        """Return the devices that could be asked for here, each with its model and driver.

        A simulator says so, as `simulated.as_simulated` does, here and in `executed_device`.
        """
        ...

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run one batch.

        Args:
            images: (batch, height, width, 3) uint8 RGB.

        Returns:
            logits: (batch, classes) float32, unnormalised; and probabilities: (batch, classes) float32, 0–1.
            No later run writes into them.
        """
        ...


class Port(NamedTuple):
    """An input or output of a compiled graph, as the engine reports it; None is a dimension left open."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def load_engine(name: str) -> type[Engine]:
    """Return the class of an engine; its library is imported here and nowhere else.

    Raises:
        EngineError: the engine is unknown, not installed, or its library does not load.
    """
    if name in _EMBEDDED:
        raise EngineError(f"Engine {name!r} {_EMBEDDED[name]}")
    if name not in ENGINES:
        raise EngineError(f"Engine {name!r} is unknown; known are {', '.join(map(repr, ENGINES))}.")
    if not _is_installed(name):
        raise EngineError(f"Engine {name!r} is not installed. Run: {_INSTALL[name]}")
    module, _, attribute = ENGINES[name].partition(":")
    try:
        with without_telemetry():
            engine: type[Engine] = getattr(import_module(module), attribute)
    except (ImportError, OSError) as error:
        message = f"Engine {name!r} is installed but does not load: {error}. Reinstall it: {_INSTALL[name]}"
        raise EngineError(message) from error
    return engine


def check_graph(model: Path, batch: int, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Refuse any graph but uint8 `images` → float32 `logits` and `probabilities`, all shapes fixed."""
    images = next((port.shape for port in inputs if (port.name, port.dtype) == ("images", "uint8")), ())
    good_input = len(inputs) == 1 and len(images) == 4 and images[0] == batch and images[3] == 3
    shapes = {port.name: port.shape for port in outputs if port.dtype == "float32"}
    logits = shapes.get("logits", ())
    good_output = len(logits) == 2 and logits[0] == batch and logits == shapes.get("probabilities")
    if not (good_input and good_output and None not in (*images, *logits)):
        raise BundleError(
            f"The graph of {model.name!r} must take 'images' uint8 ({batch}, h, w, 3) and give 'logits' and "
            f"'probabilities' float32 ({batch}, classes), got {_text(inputs)} → {_text(outputs)}. "
            "Export it again."
        )


def _is_installed(name: str) -> bool:
    try:
        return util.find_spec(name) is not None
    except ValueError:  # How find_spec says that the module is blocked or half-made.
        return False


def _text(ports: Sequence[Port]) -> str:
    return ", ".join(f"{port.name!r} {port.dtype} {port.shape}" for port in ports)
