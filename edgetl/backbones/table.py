"""Which backbones there are, and how a name becomes one. The sources are imported when a name needs them."""

import difflib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from edgetl.backbones.backbone import Backbone, Source
from edgetl.backbones.cut import cut
from edgetl.backbones.depths import SUFFIX, all_depths
from edgetl.backbones.network import NetworkSource, Weights
from edgetl.backbones.weights import state_id
from edgetl_runtime.errors import InputError

# In the order in which a name without a source is looked up.
SOURCES: dict[Source, str] = {
    "lite": "edgetl.backbones.lite",
    "torchvision": "edgetl.backbones.from_torchvision",
    "timm": "edgetl.backbones.from_timm",
}


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """A backbone as a list shows it.

    licence: of the weights. top1: the published ImageNet top-1 accuracy, 0–1, where the source knows it.
    installed: the weights lie on this machine.
    """

    name: str
    source: Source
    licence: str
    top1: float | None
    installed: bool


def create_backbone(name: str, *, weights: Weights = "default", seed: int = 0) -> Backbone:
    """Make a backbone in evaluation mode.

    Args:
        name: `efficientnet_lite0`, a name of torchvision or timm, or with its source: `timm/resnet18`. With
            `:depths` behind it, its features are those of all its stages, see `depths`.
        weights: `default` for the pretrained ones, `none` for random ones drawn from `seed`, or a file with
            a state dict under the library's names; its classifier may be missing or have other classes.
        seed: for `none`.

    Raises:
        InputError: the name is not known, or the weights cannot be had or do not fit.
    """
    if weights not in ("default", "none") and not isinstance(weights, Path):
        raise InputError(f"weights must be 'default', 'none' or a Path, got {weights!r}.")
    if name.endswith(SUFFIX):
        return all_depths(create_backbone(name.removesuffix(SUFFIX), weights=weights, seed=seed))
    key, bare = _resolve(name)
    source = _source(key)
    try:
        network = source.build(bare, weights, seed)
    except (OSError, RuntimeError) as error:
        if weights != "default":
            raise
        raise InputError(_unreachable(name, error)) from error
    stages, width = cut(name, network.module, network.links, network.native.size)
    facts = source.facts(bare)
    return Backbone(
        name=bare if key == "lite" else f"{key}/{bare}",
        source=key,
        stages=stages,
        width=width,
        native=network.native,
        licence=_licence(weights, facts.licence),
        top1=facts.top1 if weights == "default" else None,
        weights_id=state_id(network.module.state_dict()),
    )


def list_backbones(source: Source | None = None) -> tuple[BackboneInfo, ...]:
    """List the backbones of one source or of all; those of timm, over a thousand, take seconds to import."""
    return tuple(info for key in ([source] if source else SOURCES) for info in _infos(key))


def _infos(key: Source) -> list[BackboneInfo]:
    source = _source(key)
    prefix = "" if key == "lite" else f"{key}/"
    listed = [(name, source.facts(name)) for name in source.names()]
    return [
        BackboneInfo(prefix + name, key, facts.licence, facts.top1, facts.installed) for name, facts in listed
    ]


def _source(key: Source) -> NetworkSource:
    return cast(NetworkSource, import_module(SOURCES[key]))


def _resolve(name: str) -> tuple[Source, str]:
    """Find the source of a name, and the name without it."""
    prefix, _, rest = name.partition("/")
    bare = rest if prefix in SOURCES else name
    keys = [key for key in SOURCES if key == prefix] or list(SOURCES)
    for key in keys:
        if _source(key).knows(bare):
            return key, bare
    known = [other for key in keys for other in _source(key).names()]
    close = difflib.get_close_matches(bare, dict.fromkeys(known), n=5, cutoff=0.5)
    hint = f"Did you mean {', '.join(close)}?" if close else "List them with: edgetl backbones"
    raise InputError(f"No backbone is called {name!r}. {hint}")


def _licence(weights: Weights, default: str) -> str:
    if isinstance(weights, Path):
        return f"not known: weights from {weights.name}"
    return default if weights == "default" else "none: random weights"


def _unreachable(name: str, error: Exception) -> str:
    installed = ", ".join(info.name for info in list_backbones("lite") if info.installed)
    return (
        f"The weights of {name!r} cannot be had ({error}). Give a file of them with --weights FILE, "
        f"or choose a backbone whose weights are installed: {installed or 'none is'}."
    )
