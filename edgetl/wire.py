"""What connects the ranks: Hugging Face Accelerate over torch's process group. The only file that imports it.

Knows nothing of training. Objects travel pickled, between processes of one user that torchrun has started;
files never hold a pickle.
"""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch import Tensor

from edgetl.ranks import LostRank
from edgetl_runtime.errors import InputError

T = TypeVar("T")
# Helpers wait while the leader reads pictures, solves heads and scores: hours where there are millions. Ranks
# of other machines wait as long for one that has died before they met.
_PATIENCE = timedelta(hours=12)


class AccelerateWire:
    """See `edgetl.crew.Wire`. Tensors on a GPU travel by NCCL, all others and objects by gloo."""

    def __init__(self) -> None:
        has_gpu = torch.cuda.is_available()
        if has_gpu:
            _refuse_shared_gpus(torch.cuda.device_count())
        backend = "cuda:nccl,cpu:gloo" if has_gpu else "gloo"
        self._state = PartialState(cpu=not has_gpu, backend=backend, timeout=_PATIENCE)
        atexit.register(self._state.destroy_process_group)
        self.rank, self.size = int(self._state.process_index), int(self._state.num_processes)

    def total(self, tensor: Tensor) -> Tensor:
        """See `Ranks.total`."""
        with _losing_ranks():
            added: Tensor = reduce(tensor, "sum")
        return added

    def gather(self, value: T) -> list[T]:
        """See `Ranks.gather`."""
        with _losing_ranks():
            found: list[T] = gather_object([value])
        return found

    def broadcast(self, value: object) -> Any:
        """See `Wire.broadcast`."""
        with _losing_ranks():
            return broadcast_object_list([value])[0]


@cache
def connect() -> AccelerateWire:
    """Meet the other ranks; once in the life of a process."""
    return AccelerateWire()


def _refuse_shared_gpus(gpus: int) -> None:
    """Say at once what NCCL would say in words of its own: no two ranks share a GPU."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if ranks > gpus:
        raise InputError(
            f"{ranks} ranks on this machine need a GPU each, and torch finds {gpus}. Start as many as there "
            "are GPUs (--nproc-per-node), or set CUDA_VISIBLE_DEVICES= to train on the processors."
        )


@contextmanager
def _losing_ranks() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        raise LostRank(
            f"Another rank has ended without a word ({first}). What it printed says why; the same command "
            "goes on where the last checkpoint is."
        ) from error
