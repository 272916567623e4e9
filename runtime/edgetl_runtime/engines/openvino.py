"""OpenVINO as an engine. Knows nothing about bundles and pictures: a file and arrays."""

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from edgetl_runtime.engines import Port, check_graph
from edgetl_runtime.errors import BundleError, EngineError
from edgetl_runtime.manifest import Execution

_DTYPES = {"u8": "uint8", "f32": "float32"}
_PRECISIONS = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}


class OpenVinoEngine:
    """An OpenVINO IR, its batch fixed and its execution precision named before it is compiled."""

    def __init__(
        self, model: Path, *, device: str, execution: Execution, batch: int, threads: int | None
    ) -> None:
        core = openvino.Core()
        _require_device(core, device)
        compiled = _compile(core, model, batch, (device.upper(), _settings(execution, threads)))
        check_graph(model, batch, _ports(compiled.inputs), _ports(compiled.outputs))
        _require_precision(compiled, execution)
        self._model = model
        self._request = compiled.create_infer_request()
        self._outputs = compiled.output("logits"), compiled.output("probabilities")
        # One request at a time: compiled for latency, a second one would only wait inside the engine.
        self._lock = Lock()
        self.executed_device = ",".join(compiled.get_property("EXECUTION_DEVICES")).lower()
        self.version: str = openvino.get_version()

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run one batch; see `Engine.run`. The input is read in place; the outputs are copies."""
        logits, probabilities = self._outputs
        shared = np.ascontiguousarray(images)
        with self._lock:
            try:
                results = self._request.infer([shared], share_inputs=True)
            except RuntimeError as error:
                raise EngineError(f"OpenVINO failed to run {self._model.name!r}: {_reason(error)}") from error
            return results[logits], results[probabilities]


def _require_device(core: Any, device: str) -> None:  # openvino.Core, which mypy does not follow
    known = [name.lower() for name in core.available_devices]
    if device.lower() not in known:
        listed = ", ".join(map(repr, known))
        raise EngineError(f"Engine 'openvino' has no device {device!r} here; it has {listed}.")


def _settings(execution: Execution, threads: int | None) -> dict[str, object]:
    settings: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _PRECISIONS[execution],
    }
    return settings if threads is None else settings | {"INFERENCE_NUM_THREADS": threads}


def _compile(core: Any, model: Path, batch: int, target: tuple[str, dict[str, object]]) -> Any:
    # The weights are named, and the file is an IR by its suffix, so that no other frontend guesses at it.
    if model.suffix != ".xml":
        raise BundleError(f"Engine 'openvino' opens '.xml' files, got {model.name!r}.")
    try:
        graph = core.read_model(model, model.with_suffix(".bin"))
        shape = graph.input("images").partial_shape
        shape[0] = batch
        graph.reshape({"images": shape})
        return core.compile_model(graph, *target)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot open {model.name!r}: {_reason(error)}") from error


def _require_precision(compiled: Any, execution: Execution) -> None:
    # A CPU without bf16 takes the hint and executes in f32: another model than the one that was measured.
    executed = compiled.get_property("INFERENCE_PRECISION_HINT")
    if executed != _PRECISIONS[execution]:
        name = executed.get_type_name()
        raise EngineError(f"This device executes in {name!r}, not in {execution!r}; choose another variant.")


def _ports(ports: list[Any]) -> list[Port]:  # openvino.ConstOutput
    return [Port(_name(port), _dtype(port), _fixed(port.get_partial_shape())) for port in ports]


def _name(port: Any) -> str:
    # A port may carry several names; only those of the contract matter.
    names: set[str] = port.get_names()
    return min(names & {"images", "logits", "probabilities"} or names, default="")


def _dtype(port: Any) -> str:
    name: str = port.get_element_type().get_type_name()
    return _DTYPES.get(name, name)


def _fixed(shape: Any) -> tuple[int | None, ...]:  # openvino.PartialShape
    if shape.rank.is_dynamic:
        return ()
    return tuple(side.get_length() if side.is_static else None for side in shape)


def _reason(error: Exception) -> str:
    """Return OpenVINO's message without the lines that name its source files."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith("Exception from "))
