"""Frozen stages compiled by OpenVINO for the processor. The only file of the workstation that imports it."""

import copy
from collections import deque
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.forward import BATCH, Pending, Precision
from edgetl.frozen import FrozenStages
from edgetl.ranks import on_this_machine
from edgetl_runtime.engines.telemetry import without_telemetry
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import InputError

# The model that was converted last, under what it computes.
_LAST: dict[Hashable, Any] = {}


class OpenVinoForward:
    """As many batches in flight as the processor likes; they are padded to the compiled size."""

    def __init__(self, module: FrozenStages, size: int, precision: Precision, device: str) -> None:
        compiled = compile_stages(module, size, precision, device)
        count = max(2, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._ring = deque(_Running(compiled.create_infer_request()) for _ in range(count))

    def start(self, batches: Sequence[NDArray[np.uint8]]) -> Pending:
        """See `Forward`."""
        begun = [self._begin(batch) for batch in batches]
        return lambda: [one.outputs() for one in begun]

    def _begin(self, batch: NDArray[np.uint8]) -> "_Running":
        """Use the request that has been at work longest, once what it found is kept."""
        before = self._ring.popleft()
        before.outputs()
        self._ring.append(_Running(before.request, batch))
        return self._ring[-1]


class _Running:
    """A batch in flight, or what came of it; of a request that is new, nothing did."""

    def __init__(self, request: Any, batch: NDArray[np.uint8] | None = None) -> None:
        self.request, self._found = request, list[NDArray[np.float32]]()
        self._waits_for = 0 if batch is None else len(batch)
        if batch is not None:
            request.start_async({0: _padded(batch)})

    def outputs(self) -> list[NDArray[np.float32]]:
        """Wait for it, once."""
        if self._waits_for:
            self.request.wait()
            self._found = [tensor.data[: self._waits_for].copy() for tensor in self.request.output_tensors]
            self._waits_for = 0
        return self._found


def compile_stages(
    module: FrozenStages, size: int, precision: Precision, device: str
) -> Any:  # openvino.CompiledModel, which mypy does not follow
    """Compile a module of uint8 pictures for batches of `BATCH`."""
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    return _core().compile_model(converted(module, size), device.upper(), settings | _part_of_the_cores())


def converted(module: FrozenStages, size: int) -> Any:  # openvino.Model, which mypy does not follow
    """Convert a module; the last one is remembered, for it is compiled in one precision after the other.

    Converting takes seconds, more than a thousand small pictures, and compiling a tenth of one. OpenVINO's
    constants lie in the memory of torch's weights, so it gets a copy: training writes into the module's own.

    Raises:
        InputError: OpenVINO lacks an operation of the network, such as what resizes its positions.
    """
    key = (module.key, size)
    model = _LAST.get(key)
    if model is None:
        own, example = copy.deepcopy(module), torch.zeros(BATCH, size, size, 3, dtype=torch.uint8)
        with torch.no_grad():
            program = torch.export.export(own, (example,))
        model = _model_of(program, size)
        _LAST.clear()
        _LAST[key] = model
    return model


def _model_of(program: Any, size: int) -> Any:  # openvino.Model, which mypy does not follow
    library = _openvino()
    try:
        return library.convert_model(program)
    except library.frontend.OpConversionFailure as error:
        lacking = str(error).strip().splitlines()[-1].removeprefix("-- ").rstrip(".")
        raise InputError(
            f"OpenVINO cannot run this network for pictures of {size} × {size} pixels ({lacking}). Leave "
            "--size out, or choose another backbone."
        ) from error


def _part_of_the_cores() -> dict[str, Any]:
    """Ask for a fair part of the processors where ranks share them, and for no particular ones."""
    ranks = on_this_machine()
    if ranks == 1:
        return {}
    return {"INFERENCE_NUM_THREADS": max(1, read_environment().cores // ranks), "ENABLE_CPU_PINNING": False}


@cache
def _core() -> Any:  # openvino.Core, which mypy does not follow
    """Return one core that stays: making and destroying several crashes at times, see benchmarks/cores.py."""
    return _openvino().Core()


def _openvino() -> Any:  # The module, which mypy does not follow
    with without_telemetry():
        import openvino
    return openvino


def _padded(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(batch) == BATCH:
        return batch
    return np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), np.uint8)])
