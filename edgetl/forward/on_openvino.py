"""Frozen stages compiled by OpenVINO for the processor. The only file of the workstation that imports it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.forward import BATCH, Precision
from edgetl.frozen import FrozenStages
from edgetl.ranks import on_this_machine
from edgetl_runtime.environment import read_environment


class OpenVinoForward:
    """All batches of a call are in flight at once; they are padded to the compiled size."""

    def __init__(self, module: FrozenStages, size: int, precision: Precision, device: str) -> None:
        self._queue = compile_queue(module, size, precision, device)
        self._outputs = len(module.cuts) + 1

    def __call__(self, batches: Sequence[NDArray[np.uint8]]) -> list[list[NDArray[np.float32]]]:
        """See `Forward`."""
        results: list[list[NDArray[np.float32]]] = [[] for _ in batches]

        def keep(request: Any, number: int) -> None:
            results[number] = [request.get_output_tensor(i).data.copy() for i in range(self._outputs)]

        self._queue.set_callback(keep)
        for number, batch in enumerate(batches):
            self._queue.start_async({0: _padded(batch)}, number)
        self._queue.wait_all()
        return [[o[: len(b)] for o in result] for result, b in zip(results, batches, strict=True)]


def compile_queue(
    module: FrozenStages, size: int, precision: Precision, device: str
) -> Any:  # openvino.AsyncInferQueue, which mypy does not follow
    """Compile a module of uint8 pictures for batches of `BATCH`."""
    import openvino

    example = torch.zeros(BATCH, size, size, 3, dtype=torch.uint8)
    with torch.no_grad():
        program = torch.export.export(module, (example,))
    model = openvino.convert_model(program)
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    return openvino.AsyncInferQueue(
        _core().compile_model(model, device.upper(), settings | _part_of_the_cores())
    )


def _part_of_the_cores() -> dict[str, Any]:
    """Ask for a fair part of the processors where ranks share them, and for no particular ones."""
    ranks = on_this_machine()
    if ranks == 1:
        return {}
    return {"INFERENCE_NUM_THREADS": max(1, read_environment().cores // ranks), "ENABLE_CPU_PINNING": False}


@cache
def _core() -> Any:  # openvino.Core, which mypy does not follow
    """Return one core that stays: making and destroying several crashes at times, see benchmarks/cores.py."""
    import openvino

    return openvino.Core()


def _padded(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(batch) == BATCH:
        return batch
    return np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), np.uint8)])
