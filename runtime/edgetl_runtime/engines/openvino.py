"""OpenVINO as an engine. Knows nothing about bundles and pictures: a file and arrays."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from edgetl_runtime.engines import Hint, Port, check_graph
from edgetl_runtime.errors import BundleError, EngineError
from edgetl_runtime.forking import PerProcess
from edgetl_runtime.manifest import Execution

_DTYPES = {"u8": "uint8", "f32": "float32"}
_PRECISIONS = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16, "f16": openvino.Type.f16}
# They choose among the devices that are listed after them, or among all.
_VIRTUAL = ("auto", "multi", "hetero")
_FACTS = ("FULL_DEVICE_NAME", "NPU_DRIVER_VERSION", "GPU_DRIVER_VERSION")
# By what OpenVINO's message holds: what it means, and what to do.
_DIAGNOSES = {
    ("VCL compiler", "compiler_loader"): (
        "The NPU is here, but OpenVINO's compiler for it is not: no wheel brings "
        "libopenvino_intel_npu_compiler_loader.so and libopenvino_intel_npu_compiler.so. Put both, from the "
        "OpenVINO archive of the same version, beside the wheel's libopenvino.so, or name another device or "
        "a fallback."
    ),
    ("Could not find an NPU device", "No available backend"): (
        "OpenVINO finds no NPU. An NPU needs its driver, and read access to /dev/accel. Mend that, or name "
        "another device or a fallback."
    ),
}
_REMEDIES = {
    "npu": "An NPU needs its driver, and read access to /dev/accel.",
    "gpu": "A GPU needs its compute runtime (Level Zero or OpenCL).",
}


class OpenVinoEngine:
    """An OpenVINO IR, its batch fixed and its execution precision named before it is compiled."""

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
    ) -> None:
        core = _core()
        _require_device(core, device)
        _require_possible(execution, device)
        settings = _settings(device, execution, threads, hint)
        if cache is not None:
            settings["CACHE_DIR"] = str(cache)
        compiled = _compile(core, model, batch, (device.upper(), settings))
        check_graph(model, batch, _ports(compiled.inputs), _ports(compiled.outputs))
        self.executed_device = _executed(compiled, device)
        _require_precision(compiled, execution, device)
        self._model = model
        self._outputs = compiled.output("logits"), compiled.output("probabilities")
        # As many as the device runs at once: compiled for latency, a second one would only wait inside.
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
            self._requests.put(compiled.create_infer_request())
        self.version: str = openvino.get_version()
        self.driver = "; ".join(_facts(core, name.upper()) for name in self.executed_device.split(","))

    @classmethod
    def devices(cls) -> dict[str, str]:
        """Return what is here: by each device's name its model and driver."""
        core = _core()
        return {name.lower(): _facts(core, name) for name in core.available_devices}

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run one batch; see `Engine.run`. The input is read in place; the outputs are copies."""
        logits, probabilities = self._outputs
        shared = np.ascontiguousarray(images)
        request = self._requests.get()
        try:
            results = request.infer([shared], share_inputs=True)
            return results[logits], results[probabilities]
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed to run {self._model.name!r}: {_reason(error)}") from error
        finally:
            self._requests.put(request)


def _core() -> Any:  # openvino.Core, which mypy does not follow
    """Return the one core of this process.

    Where each engine had its own, making one while another was destroyed ended now and then in a crash of
    OpenVINO 2026.4, in `compile_model` or as "terminate called": see benchmarks/cores.py.
    """
    return _core_of(openvino.Core).get()


@cache
def _core_of(make: Callable[[], Any]) -> PerProcess[Any]:
    return PerProcess(make(), make)


def _facts(core: Any, name: str) -> str:  # openvino.Core, which mypy does not follow
    try:
        known = core.get_property(name, "SUPPORTED_PROPERTIES")
        return "; ".join(str(core.get_property(name, fact)) for fact in _FACTS if fact in known)
    except RuntimeError as error:  # A broken driver; opening the device says more.
        return f"does not answer: {_reason(error)}"


def _require_device(core: Any, device: str) -> None:
    asked, _, listed = device.lower().partition(":")
    if asked == "cpu" or (asked in _VIRTUAL and (asked == "auto" or listed)):
        return
    known = [name.lower() for name in core.available_devices]
    kinds = {name.partition(".")[0] for name in known}  # "gpu" is the first of "gpu.0" and "gpu.1".
    if device.lower() in kinds.union(known):
        return
    here = ", ".join(map(repr, known))
    remedy = _REMEDIES.get(asked.partition(".")[0], "")
    message = f"Engine 'openvino' has no device {device!r} here; it has {here}. {remedy}"
    raise EngineError(message.strip())


def _settings(device: str, execution: Execution, threads: int | None, hint: Hint) -> dict[str, object]:
    settings: dict[str, object] = {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_PRECISION_HINT": _asked(execution, device),
    }
    if device.lower().partition(":")[0] == "auto":
        # Else the CPU would answer, and be proven, while an accelerator compiles and takes over later.
        settings["ENABLE_STARTUP_FALLBACK"] = False
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
        raise EngineError(f"OpenVINO cannot open {model.name!r}: {_diagnosis(error)}") from error


def _executed(compiled: Any, device: str) -> str:
    """Return where it truly runs: virtual devices choose, and some fall back to the CPU without a word."""
    executed = [str(name).strip("()").lower() for name in compiled.get_property("EXECUTION_DEVICES")]
    asked = device.lower().partition(":")[0]
    kinds = {name.partition(".")[0] for name in executed}
    if asked not in _VIRTUAL and kinds != {asked.partition(".")[0]}:
        raise EngineError(
            f"Engine 'openvino' was asked for {device!r} and runs on {', '.join(executed)!r}. "
            "Name that device, or a fallback."
        )
    return ",".join(executed)


def _require_possible(execution: Execution, device: str) -> None:
    kind = _kind(device)
    if kind == "npu" and execution != "f16":
        raise EngineError(
            f"Device {device!r} computes in float16, and this variant in {execution!r}. Open one that runs "
            "in f16; edgetl export --variants openvino-npu-int8,openvino-npu-fp16 makes them."
        )
    if kind in _VIRTUAL and execution == "f16":
        raise EngineError(
            f"A variant in 'f16' needs a device by its own name, got {device!r}: a processor behind that one "
            "would compute in bf16."
        )


def _asked(execution: Execution, device: str) -> Any:  # openvino.Type, which mypy does not follow
    """Return the precision to ask for: f16 allows for a finer one, and a CPU takes bf16 for f16."""
    return _PRECISIONS["f32" if execution == "f16" and _kind(device) == "cpu" else execution]


def _kind(device: str) -> str:
    return device.lower().partition(":")[0].partition(".")[0]


def _require_precision(compiled: Any, execution: Execution, device: str) -> None:
    # A CPU without bf16 takes the hint and executes in f32: another model than the one that was measured.
    if _kind(device) in _VIRTUAL:
        return  # They do not tell; the reference cases show what they do.
    executed = compiled.get_property("INFERENCE_PRECISION_HINT")
    if executed != _asked(execution, device):
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


def _diagnosis(error: Exception) -> str:
    """Return what a known message means and what to do, with the message; else the message alone."""
    told = _reason(error)
    for needles, words in _DIAGNOSES.items():
        if any(needle in told for needle in needles):
            return f"{words} OpenVINO says: {told}"
    return told


def _reason(error: Exception) -> str:
    """Return OpenVINO's message without the lines that name its source files."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith("Exception from "))
