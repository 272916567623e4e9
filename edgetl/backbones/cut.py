"""Cut a network into stages, and prove the cut.

Most networks are chains: called in the order in which they were registered, their children do what
`forward` does. That is an assumption about code which is not ours, so a cut counts only when its stages hold
every tensor of the network, each once, and give the network's own features bit for bit. What fails stays
whole, as one stage. Knows no library: `from_torchvision` and `from_timm` list the links of their networks.
"""

import copy
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from edgetl.backbones.backbone import Stage
from edgetl_runtime.errors import InputError

Link = tuple[str, nn.Module]

# Containers of which every entry is a block. Any other container is one link.
_BLOCKS = ("blocks", "features", "layers", "stages", "trunk_output")

_log = logging.getLogger(__name__)


def cut(name: str, network: nn.Module, links: Iterable[Link], size: int) -> tuple[tuple[Stage, ...], int]:
    """Group the links of a network into stages.

    Args:
        name: for messages.
        network: (n, 3, size, size) float32 → pooled features (n, width), in evaluation mode.
        links: what the network does, one after another.
        size: side in pixels of the picture that the cut is proven on.

    Returns:
        The stages, and the width of the features.
    """
    picture = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network(picture)
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise InputError(f"{name!r} gives no vector of features for each picture. Choose another.")
    if not features.isfinite().all():
        raise InputError(
            f"{name!r} gives features that are not finite: its weights are damaged. Get them again."
        )
    stages = tuple(_group(links))
    if not _proven(network, stages, picture, features):
        _log.warning("%s is no chain of layers: it is frozen as a whole, or trained as a whole.", name)
        stages = (Stage("all", network),)
    return stages, features.shape[1]


def children(network: nn.Module) -> Iterator[Link]:
    """List the children of a network in order of registration, with blocks in place of what holds them."""
    for name, child in network.named_children():
        if name in _BLOCKS and isinstance(child, nn.Sequential | nn.ModuleList):
            for key, block in child.named_children():
                yield f"{name}{key}" if key.isdigit() else key, block
        else:
            yield name, child


def without(network: nn.Module, *names: str) -> nn.Module:
    """Copy a network without some of its children, each replaced by the identity; the tensors are shared."""
    shell = copy.copy(network)
    parts = network._modules.items()
    shell._modules = {name: nn.Identity() if name in names else part for name, part in parts}
    return shell


def _group(links: Iterable[Link]) -> Iterator[Stage]:
    """Start a stage at each link with a matrix or a kernel; norms, activations and pooling join the last."""
    group: list[Link] = []
    for name, module in links:
        if any(parameter.ndim > 1 for parameter in module.parameters()) and group:
            yield _stage(group)
            group = []
        if not isinstance(module, nn.Identity):
            group.append((name, module))
    if group:
        yield _stage(group)


def _stage(group: list[Link]) -> Stage:
    name, module = group[0]
    return Stage(name, module if len(group) == 1 else nn.Sequential(OrderedDict(group)))


def _proven(network: nn.Module, stages: tuple[Stage, ...], picture: Tensor, features: Tensor) -> bool:
    if _tensors(network) != sorted(tensor for stage in stages for tensor in _tensors(stage.module)):
        return False
    try:
        with torch.no_grad():
            for stage in stages:
                picture = stage.module(picture)
    except Exception as error:  # Whatever layers trip over when their order is wrong: it means "no chain".
        _log.debug("cutting failed: %s", error)
        return False
    return torch.equal(picture, features) and bool(features.std() > 0)


def _tensors(module: nn.Module) -> list[int]:
    return sorted(id(tensor) for tensor in (*module.parameters(), *module.buffers()))
