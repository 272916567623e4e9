"""What runs frozen stages forward: OpenVINO on a processor, torch on a GPU; one table, one small protocol."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.device import best_device
from edgetl.frozen import FrozenStages
from edgetl_runtime.environment import read_environment

# Pictures of one batch: compiled graphs are static.
BATCH = 16

Precision = Literal["f32", "bf16"]
ForwardName = Literal["openvino", "torch-cuda", "torch-cpu"]

_FORWARDS: dict[ForwardName, tuple[str, str]] = {
    "openvino": ("edgetl.forward.on_openvino:OpenVinoForward", "cpu"),
    "torch-cuda": ("edgetl.forward.on_torch:TorchForward", "cuda"),
    "torch-cpu": ("edgetl.forward.on_torch:TorchForward", "cpu"),
}


# Waits for what was begun and returns the outputs of each batch; called once, and in the order of the starts.
Pending = Callable[[], list[list[NDArray[np.float32]]]]


class Forward(Protocol):
    """Frozen stages, ready to run on one device."""

    def __init__(self, module: FrozenStages, size: int, precision: Precision, device: str) -> None: ...

    def start(self, batches: Sequence[NDArray[np.uint8]]) -> Pending:
        """Begin to run batches of at most `BATCH` pictures, (n, size, size, 3).

        What was begun before is still under way: the device is busy while its last results are worked on.
        """
        ...


def open_forward(name: ForwardName, module: FrozenStages, size: int, precision: Precision) -> Forward:
    """Make the stages ready; the engine's library is imported here."""
    place, device = _FORWARDS[name]
    home, _, attribute = place.partition(":")
    forward: type[Forward] = getattr(import_module(home), attribute)
    return forward(module, size, precision, device)


def best_forward() -> ForwardName:
    """Return torch on CUDA where there is a GPU, else OpenVINO."""
    return "torch-cuda" if best_device() == "cuda" else "openvino"


def fast_precision(name: ForwardName | None = None) -> Precision:
    """Return bf16 where the device multiplies it in hardware, else f32; None stands for `best_forward`."""
    if (name or best_forward()) == "torch-cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    flags = read_environment().flags
    return "bf16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "f32"
