"""ONNX Runtime as an engine. Knows nothing about bundles and pictures: a file and arrays."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgetl_runtime.engines import Hint, Port, check_graph, contexts
from edgetl_runtime.engines.providers import Place, add_provider, installed
from edgetl_runtime.errors import EngineError
from edgetl_runtime.manifest import Execution

_CPU = "CPUExecutionProvider"
_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
_ERRORS_ONLY = 3


class OrtEngine:
    """An ONNX file, its batch dimension `N` fixed before it is compiled."""

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
        # What is float16 says the graph itself; a processor without such kernels computes it in float32.
        if execution not in ("f32", "f16"):
            raise EngineError(f"Engine 'onnxruntime' executes in 'f32' or 'f16', got {execution!r}.")
        options = _options(batch, threads, hint)
        place = add_provider(options, device)
        if place.provider != _CPU:  # Else what the provider cannot do would run on the CPU without a word.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        open_session = partial(_session, options=options, place=place, model=model)
        if cache is not None and place.contexts:
            facts = f"{onnxruntime.__version__} {place.facts} {batch}"
            self._session = contexts.opened(cache, model, facts, options, open_session)
        else:
            self._session = open_session(model)
        check_graph(model, batch, _ports(self._session.get_inputs()), _ports(self._session.get_outputs()))
        self._model = model
        self.executed_device = place.device
        self.version: str = onnxruntime.__version__
        self.driver = "; ".join((place.facts, *_devices(place.provider)))

    @classmethod
    def devices(cls) -> dict[str, str]:
        """Return what is here: by each device's name that of its provider; a simulator says so."""
        return installed()

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run one batch; see `Engine.run`."""
        try:
            logits, probabilities = self._session.run(["logits", "probabilities"], {"images": images})
        except Exception as error:  # onnxruntime's errors have no common class but Exception.
            raise EngineError(f"ONNX Runtime failed to run {self._model.name!r}: {_reason(error)}") from error
        return logits, probabilities


def _options(batch: int, threads: int | None, hint: Hint) -> Any:  # onnxruntime has no types
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.inter_op_num_threads = 1
    if hint == "throughput":  # Several runs at once, each on one thread that does not spin while it waits.
        options.intra_op_num_threads = threads or 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    else:
        options.intra_op_num_threads = threads or 0  # 0 lets ONNX Runtime choose.
    options.add_free_dimension_override_by_name("N", batch)
    return options


def _session(file: Path, options: Any, place: Place, model: Path) -> Any:
    """Open a file, the model itself or what was compiled from it."""
    try:
        with place.quiet():
            session = onnxruntime.InferenceSession(str(file), options, providers=place.providers)
    except Exception as error:  # onnxruntime's errors have no common class but Exception.
        raise EngineError(f"ONNX Runtime cannot open {model.name!r}: {_reason(error)}") from error
    executed = session.get_providers()[0]
    if executed != place.provider:
        raise EngineError(
            f"Engine 'onnxruntime' was asked for {place.provider!r} and runs on {executed!r}. "
            "Check the device's driver, or name a fallback."
        )
    return session


def _devices(provider: str) -> list[str]:
    """Return what a provider tells of itself, as of its version, and of the devices that it found."""
    found = []
    for one in onnxruntime.get_ep_devices():
        if one.ep_name == provider:
            told = {**one.ep_metadata, **one.device.metadata}
            ids = f"{one.ep_vendor} {one.device.vendor} {one.device.vendor_id}:{one.device.device_id}"
            found.append(" ".join((ids, *(f"{key}={told[key]}" for key in sorted(told)))))
    return sorted(found)


def _ports(nodes: list[Any]) -> list[Port]:  # onnxruntime.NodeArg has no types
    return [Port(node.name, _DTYPES.get(node.type, node.type), _fixed(node.shape)) for node in nodes]


def _reason(error: Exception) -> str:
    """Return ONNX Runtime's message on one line."""
    return " ".join(str(error).split())


def _fixed(shape: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) else None for side in shape)
