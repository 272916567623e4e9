"""On which device stages are trained and judged: the GPU where there is one. Knows no network.

The weights that a step begins and ends with, and those of a checkpoint, lie in the memory of the processor.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# A device type of torch: "cpu" or "cuda". Of several GPUs each rank has its own, see `edgetl.wire`.
DeviceName = str


def best_device() -> DeviceName:
    """Return "cuda" where torch finds a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def wait_for(device: DeviceName) -> None:
    """Wait until everything that was asked of the device is computed; a processor answers at once."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def exactly(device: DeviceName) -> Iterator[None]:
    """Multiply in f32 meanwhile: on a GPU convolutions are rounded to TF32's 10 bits otherwise."""
    if device != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
