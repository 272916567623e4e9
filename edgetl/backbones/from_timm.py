"""Networks of timm. Importing timm takes seconds: this file is imported for a network that needs it."""

from pathlib import Path
from typing import Any

import timm
from timm.layers import global_pool_nlc
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from edgetl.backbones.backbone import Native
from edgetl.backbones.cut import Link, children, without
from edgetl.backbones.network import Facts, Network, Weights, seeded
from edgetl.backbones.weights import load_weights, read_weights
from edgetl_runtime.errors import InputError

Config = Any  # timm's PretrainedCfg; timm is not typed


def names() -> list[str]:
    """List timm's architectures; a tag after a dot chooses between their weights."""
    return list(timm.list_models())


def knows(name: str) -> bool:
    """Tell whether timm has this architecture, and these weights where the name has a tag."""
    try:
        return ":" not in name and bool(timm.is_model(name)) and timm.get_pretrained_cfg(name) is not None
    except RuntimeError:  # The architecture has no such tag.
        return False


def facts(name: str) -> Facts:
    """Describe a network from its configuration."""
    config = timm.get_pretrained_cfg(name)
    card = f"see https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else "unknown"
    licence = card if config.license in (None, "unknown") else config.license
    return Facts(licence, None, installed=_cached(config))


def build(name: str, weights: Weights, seed: int) -> Network:
    """Make a network of timm without its classifier."""
    config = timm.get_pretrained_cfg(name)
    native = _native(name, config)
    if weights == "default":
        _check_connection(config)
    with seeded(seed):
        # With its classifier, since with num_classes=0 timm does not look for missing weights.
        network = timm.create_model(name, pretrained=weights == "default")
    classifier = strip(network)
    if isinstance(weights, Path):
        load_weights(network, read_weights(weights), ignored=classifier, origin=str(weights))
    return Network(network.eval(), links(network), native)


def strip(network: Any) -> set[str]:
    """Take the classifier off a network of timm; return the names of its parameters."""
    every = set(network.state_dict())
    network.reset_classifier(0)
    return every - set(network.state_dict())


def links(network: Any) -> list[Link]:
    """List what a network without classifier does, one after another."""
    chain = list(children(network))
    if type(network) is VisionTransformer:
        blocks = [link for link in chain if link[0].startswith("blocks")]
        return [("embed", _Embed(network)), *blocks, ("pool", _Pool(network))]
    places = [name for name, _ in chain]
    if isinstance(getattr(network, "global_pool", None), str) and "head_drop" in places:
        chain.insert(places.index("head_drop"), ("pool", _Mean()))
    return chain


class _Mean(nn.Module):
    """The mean over all places, which some networks take without having a layer for it."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean((2, 3)) if features.ndim == 4 else features.mean(1)


class _Embed(nn.Module):
    """A vision transformer without its blocks and what follows them: patches with their positions."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer: Any = without(
            transformer, "blocks", "norm", "attn_pool", "fc_norm", "head_drop", "head"
        )

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.transformer.forward_features(images)
        return tokens


class _Pool(nn.Module):
    """What a vision transformer does after its blocks: norm, pooling over tokens, norm."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.norm: nn.Module = transformer.norm
        self.attn_pool: nn.Module | None = transformer.attn_pool
        self.fc_norm: nn.Module = transformer.fc_norm
        self.global_pool = transformer.global_pool
        self.prefix_tokens = transformer.num_prefix_tokens
        self.include_prefix = transformer.pool_include_prefix

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens)
        if self.attn_pool is not None:
            skipped = 0 if self.include_prefix else self.prefix_tokens
            pooled: Tensor = self.attn_pool(tokens[:, skipped:])
        else:
            pooled = global_pool_nlc(tokens, self.global_pool, self.prefix_tokens, self.include_prefix)
        features: Tensor = self.fc_norm(pooled)
        return features


def _native(name: str, config: Config) -> Native:
    channels, height, width = config.input_size
    if channels != 3 or height != width:
        got = f"{channels}×{height}×{width}"
        raise InputError(f"{name!r} takes {got}; only square pictures in RGB are fed. Choose another.")
    return Native(height, config.crop_pct, config.interpolation, tuple(config.mean), tuple(config.std))


def _cached(config: Config) -> bool:
    from huggingface_hub import try_to_load_from_cache

    if not config.hf_hub_id:
        return False
    filename = config.hf_hub_filename or "model.safetensors"
    return isinstance(try_to_load_from_cache(config.hf_hub_id, filename), str)


def _check_connection(config: Config) -> None:
    """Ask the hub once for weights that are not in its cache: offline, timm would retry for a minute."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    if not config.hf_hub_id or _cached(config):
        return
    url = hf_hub_url(config.hf_hub_id, config.hf_hub_filename or "model.safetensors")
    try:
        get_hf_file_metadata(url, timeout=10)
    except EntryNotFoundError:
        return  # Older weights have another file name; timm finds it.
    except Exception as error:  # The hub's transport, httpx or another, has its own tree of errors.
        raise ConnectionError(str(error)) from error
