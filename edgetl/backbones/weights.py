"""Read weights from a file that is not trusted, load them without a silent mismatch, and name them."""

import hashlib
import io
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgetl_runtime.errors import InputError

State = dict[str, Tensor]

_SHOWN = 5
_SAVE = "Save them with safetensors.torch.save_file(model.state_dict(), FILE)."


def read_weights(path: Path) -> State:
    """Read a safetensors file, or a torch file of plain tensors; its content tells which, never its name.

    A checkpoint that holds its state dict under `state_dict` or `model`, or with the prefix `module.` of a
    distributed training, is unpacked.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The weights {str(path)!r} cannot be read ({error.strerror}). Check the path."
        ) from error
    content = _safetensors(data, path) if data[8:9] == b"{" else _torch(data, path)
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = content.values() if isinstance(content, dict) else ()
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise InputError(f"The weights {str(path)!r} must be a state dict: a dictionary of tensors. {_SAVE}")
    state = dict(content)
    torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    return state


def load_weights(
    network: nn.Module, state: Mapping[str, Tensor], *, ignored: Collection[str], origin: str
) -> None:
    """Load a state dict into a network: every tensor of both is used once, or nothing is loaded.

    Args:
        network: the network to fill.
        state: tensors under the names of the network.
        ignored: names that the state may have and the network has not: those of its classifier.
        origin: where the state comes from, for messages.
    """
    wanted = network.state_dict()
    given = {name: tensor for name, tensor in state.items() if name not in ignored or name in wanted}
    # Counters of batches are of no use to a network that is fine-tuned, and older files have none.
    counters = {name for name in wanted if name.endswith("num_batches_tracked")} - given.keys()
    mismatches = {
        "missing": sorted(wanted.keys() - given.keys() - counters),
        "unexpected": sorted(given.keys() - wanted.keys()),
        "of another shape": [
            f"{name}: {tuple(given[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in given and given[name].shape != tensor.shape
        ],
    }
    if any(mismatches.values()):
        found = "; ".join(
            f"{len(names)} {kind}: {_some(names)}" for kind, names in mismatches.items() if names
        )
        raise InputError(
            f"The weights {origin!r} do not fit this network: {found}. Check that the names agree."
        )
    wanted.update(given)  # Filled rather than built anew: it carries the versions that some networks ask for.
    network.load_state_dict(wanted)


def state_id(state: Mapping[str, Tensor]) -> str:
    """Hash a state dict: SHA-256 over the names in order, each with dtype, shape and bytes of its tensor."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _safetensors(data: bytes, path: Path) -> State:
    import safetensors
    import safetensors.torch

    try:
        state: State = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise InputError(f"The weights {str(path)!r} are damaged ({error}). Copy the file again.") from error
    return state


def _torch(data: bytes, path: Path) -> Any:  # whatever the file holds; the caller checks it
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"The weights {str(path)!r} are neither a safetensors nor a torch file of plain tensors; "
            f"code in a file is never run. {_SAVE}"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"The weights {str(path)!r} are damaged ({error}). Copy the file again.") from error


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
