"""Where a training stands, so that a killed one goes on: after every epoch, two files in a folder of its own.

The folder is a hidden sibling of the run and goes away when the run is written.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from edgetl_runtime.atomic import write_bytes

State = dict[str, Tensor]


def under(prefix: str, tensors: Mapping[str, Tensor]) -> State:
    """Return the tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors and facts of one moment of a training.

    key: what they belong to; a checkpoint with another key is not for this training.
    """

    key: str
    facts: dict[str, Any]
    tensors: State


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for the latest checkpoint of one name, such as "best" or "step"."""

    folder: Path
    name: str

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace what is there; facts and tensors are one file, so they cannot disagree."""
        metadata = {"key": checkpoint.key, "facts": json.dumps(checkpoint.facts)}
        data = save({k: v.contiguous() for k, v in checkpoint.tensors.items()}, metadata)
        write_bytes(self._path, data)

    def load(self, key: str) -> Checkpoint | None:
        """Return the checkpoint with this key, or None when there is none or it cannot be read."""
        try:
            with safe_open(self._path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("key") != key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
                return Checkpoint(key, json.loads(metadata["facts"]), tensors)
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def clear(self) -> None:
        """Forget it."""
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.safetensors"


def checkpoint_folder(run: Path) -> Path:
    """Return where the checkpoints of the run to be written at `run` lie."""
    return run.with_name(f".{run.name}.training")


def forget(run: Path) -> None:
    """Remove the checkpoints of a run."""
    shutil.rmtree(checkpoint_folder(run), ignore_errors=True)


def pack_optimizer(optimizer: torch.optim.Optimizer) -> State:
    """Flatten an optimizer's state into tensors named by parameter and entry."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{entry}": torch.as_tensor(value)
        for number, entries in state.items()
        for entry, value in entries.items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: State) -> None:
    """Put back what `pack_optimizer` gave; the optimizer has the same groups.

    Each tensor gets the layout of its parameter again: another one is computed by other instructions, which
    round differently.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, entry = name.split(".")
            state.setdefault(int(number), {})[entry] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for parameter, entries in optimizer.state.items():
        for entry, tensor in entries.items():
            if tensor.shape == parameter.shape:
                entries[entry] = torch.empty_like(parameter).copy_(tensor)
