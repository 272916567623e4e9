"""Classification networks of torchvision. Imported only for a network that needs it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import get_model, get_model_weights, list_models

from edgetl.backbones.backbone import Native
from edgetl.backbones.cut import Link, children
from edgetl.backbones.network import Facts, Network, Weights, seeded
from edgetl.backbones.weights import load_weights, read_weights

_CLASSIFIERS = ("classifier", "fc", "head", "heads")
_AUXILIARY = ("aux1", "aux2", "AuxLogits")
_POOLED_BY_FUNCTION = (models.DenseNet, models.MNASNet, models.MobileNetV2, models.ShuffleNetV2)
_HALF = (0.5, 0.5, 0.5)


def names() -> list[str]:
    """List torchvision's classification networks."""
    return list(list_models(module=models))


def knows(name: str) -> bool:
    """Tell whether torchvision has this network."""
    return name in names()


def facts(name: str) -> Facts:
    """Describe a network from the metadata of its default weights."""
    entry = get_model_weights(name).DEFAULT
    percent = entry.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    return Facts(
        entry.meta.get("license", "BSD-3-Clause"), round(percent / 100, 5), installed=cached.is_file()
    )


def build(name: str, weights: Weights, seed: int) -> Network:
    """Make a network of torchvision without its classifier."""
    entry = get_model_weights(name).DEFAULT
    with seeded(seed):
        network = get_model(name, weights=entry if weights == "default" else None, **_options(name, entry))
    every = set(network.state_dict())
    _strip(network)
    if isinstance(weights, Path):
        classifier = every - set(network.state_dict())
        load_weights(network, read_weights(weights), ignored=classifier, origin=str(weights))
    return Network(network.eval(), _links(network), _native(network, entry))


def _options(name: str, entry: Any) -> dict[str, Any]:
    if name in ("googlenet", "inception_v3"):
        return {"init_weights": False}  # Their own initialisation takes half a minute.
    if name.startswith("vit_"):
        return {"image_size": entry.meta["min_size"][0]}
    return {}


def _strip(network: Any) -> None:
    """Take off the classifier, its dropout and the auxiliary classifiers."""
    parts = dict(network.named_children())
    for name in _AUXILIARY:
        if name in parts:
            network.aux_logits = False
            setattr(network, name, None)
    if "dropout" in parts:
        network.dropout = nn.Identity()
    if hasattr(network, "transform_input"):
        network.transform_input = False  # `_native` says the same: mean and deviation are 0.5.
    name = next(name for name in _CLASSIFIERS if name in parts)
    setattr(network, name, _without_last(parts[name]))


def _without_last(classifier: nn.Module) -> nn.Module:
    """Make a classifier's last layer, and every dropout, the identity; other layers keep their names."""
    if not isinstance(classifier, nn.Sequential):
        return nn.Identity()
    if any(isinstance(layer, nn.Conv2d) for layer in classifier):
        # SqueezeNet classifies every place, then pools.
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    last = max(index for index, layer in enumerate(classifier) if isinstance(layer, nn.Linear))
    for index, layer in enumerate(classifier):
        if index == last or isinstance(layer, nn.Dropout):
            classifier[index] = nn.Identity()
    return classifier


def _links(network: Any) -> list[Link]:
    """List what a stripped network does: its children, and what its `forward` calls between them."""
    if isinstance(network, models.VisionTransformer):
        blocks = [(f"layers{number}", layer) for number, layer in enumerate(network.encoder.layers)]
        return [("embed", _Embed(network)), *blocks, ("norm", network.encoder.ln), ("first", _FirstToken())]
    every = list(children(network))
    body = [link for link in every if link[0] not in _CLASSIFIERS]
    classifier = [link for link in every if link[0] in _CLASSIFIERS]
    if isinstance(network, models.DenseNet):
        body.append(("relu", nn.ReLU()))
    if isinstance(network, _POOLED_BY_FUNCTION):
        body.append(("pool", nn.AdaptiveAvgPool2d(1)))
    layers: list[nn.Module] = [*network.children(), *classifier[0][1].children()]
    if not any(isinstance(layer, nn.Flatten) for layer in layers):
        body.append(("flatten", nn.Flatten()))
    return body + classifier


def _native(network: Any, entry: Any) -> Native:
    transforms = entry.transforms()
    size = transforms.crop_size[0]
    crop = size / transforms.resize_size[0]
    if hasattr(network, "transform_input"):
        return Native(size, crop, transforms.interpolation.value, _HALF, _HALF)
    return Native(size, crop, transforms.interpolation.value, tuple(transforms.mean), tuple(transforms.std))


class _Embed(nn.Module):
    """A vision transformer's patches with their positions, after the class token."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.conv_proj = transformer.conv_proj
        self.class_token = transformer.class_token
        self.pos_embedding = transformer.encoder.pos_embedding

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], dim=1)
        summed: Tensor = tokens + self.pos_embedding
        return summed


class _FirstToken(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]
