"""Frozen stages run by torch: on a GPU, where it is the fastest; on a processor it serves tests alone."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.forward import Pending, Precision
from edgetl.frozen import FrozenStages


class TorchForward:
    """A copy of the stages on the device, channels last; a GPU runs on while nothing is fetched.

    Batches that begin together run as one: a GPU takes them in little more than the time of the first.
    """

    def __init__(self, module: FrozenStages, size: int, precision: Precision, device: str) -> None:
        self._device, self._half = torch.device(device), precision == "bf16"
        self._module = copy.deepcopy(module).to(self._device).to(memory_format=torch.channels_last)

    def start(self, batches: Sequence[NDArray[np.uint8]]) -> Pending:
        """See `Forward`."""
        # TF32 rounds to 10 bits: it is not what f32 promises.
        with (
            torch.no_grad(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._half),
        ):
            outputs = self._module(torch.from_numpy(np.concatenate(batches)).to(self._device))
        ends = np.cumsum([len(batch) for batch in batches])[:-1]

        def fetch() -> list[list[NDArray[np.float32]]]:
            parts = [np.split(tensor.float().cpu().numpy(), ends) for tensor in outputs]
            return [list(batch) for batch in zip(*parts, strict=True)]

        return fetch
