"""A backbone whose features are those of all its depths, joined: `efficientnet_lite0:depths`.

The last features know what a thousand classes of photographs need, and have forgotten what they do not:
colour, texture, a small mark. The stages before still have it, and a head on all of them can choose, at the
price of a wider head alone (Evci et al. 2022, *Head2Toe*).
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from edgetl.backbones.backbone import Backbone, Stage
from edgetl.backbones.weights import state_id
from edgetl_runtime.errors import InputError

SUFFIX = ":depths"
# Of activations: (n, c, s, s), (n, s, s, c), (n, tokens, c) or (n, c).
Layout = Literal["channels_first", "channels_last", "tokens", "flat"]


class Carried(NamedTuple):
    """What goes from stage to stage: the pooled activations of those before, and the activations."""

    before: tuple[Tensor, ...]
    now: Tensor


@dataclass(frozen=True, slots=True)
class Boundary:
    """What arrives at a stage, at any size of picture. width: of the pooled activations before it."""

    layout: Layout
    channels: int
    width: int

    def pool(self, x: Tensor) -> Tensor:
        """Average over places, to (n, channels)."""
        axes = {"channels_first": (2, 3), "channels_last": (1, 2), "tokens": (1,)}
        # The kept dimensions make a global average pooling of it, which quantizers know.
        return x if self.layout == "flat" else x.mean(dim=axes[self.layout], keepdim=True).flatten(1)

    def pack(self, carried: Carried) -> Tensor:
        """Put all into one row for each picture, as the cache keeps it: a place's channels side by side."""
        x = carried.now
        ordered = x.permute(0, 2, 3, 1) if self.layout == "channels_first" else x
        return torch.cat([*carried.before, ordered.flatten(1)], dim=1)

    def unpack(self, rows: Tensor) -> Carried:
        """Undo `pack`."""
        n, places = len(rows), (rows.shape[1] - self.width) // self.channels
        side = math.isqrt(places)
        between = {"flat": (), "tokens": (places,)}.get(self.layout, (side, side))
        x = rows[:, self.width :].reshape(n, *between, self.channels)
        x = x.permute(0, 3, 1, 2) if self.layout == "channels_first" else x
        return Carried((rows[:, : self.width],) if self.width else (), x)


class Deep(nn.Module):
    """A stage that hands on what it was given, pooled, beside what it makes of it.

    Takes pictures where it is the first, else `Carried` or its packed rows. Returns `Carried`, or the
    features where it is the last. boundary: None for the first.
    """

    def __init__(self, stage: nn.Module, boundary: Boundary | None, *, last: bool) -> None:
        super().__init__()
        self.stage, self.boundary, self.last = stage, boundary, last

    def forward(self, x: Tensor | Carried) -> Tensor | Carried:
        """See the class."""
        before, now = self._arrived(x)
        after = self.stage(now)
        return torch.cat([*before, after], dim=1) if self.last else Carried(before, after)

    def _arrived(self, x: Tensor | Carried) -> Carried:
        if self.boundary is None:
            assert isinstance(x, Tensor)
            return Carried((), x)
        before, now = self.boundary.unpack(x) if isinstance(x, Tensor) else x
        return Carried((*before, self.boundary.pool(now)), now)


def packed(carried: Carried, stage: nn.Module) -> Tensor:
    """Pack what would arrive at this stage."""
    assert isinstance(stage, Deep)
    assert stage.boundary is not None
    return stage.boundary.pack(carried)


def all_depths(backbone: Backbone) -> Backbone:
    """Return the same network with the features of all depths; it shares parameters.

    Raises:
        InputError: it is no chain of stages, so there is one depth only.
    """
    if len(backbone.stages) == 1:
        raise InputError(f"{backbone.name!r} is one piece, without depths between. Leave out {SUFFIX!r}.")
    boundaries = _boundaries(backbone)
    stages = tuple(
        Stage(stage.name, Deep(stage.module, boundary, last=stage is backbone.stages[-1]))
        for stage, boundary in zip(backbone.stages, [None, *boundaries], strict=True)
    )
    made = replace(
        backbone,
        name=backbone.name + SUFFIX,
        stages=stages,
        width=sum(one.channels for one in boundaries) + backbone.width,
    )
    return replace(made, weights_id=state_id(made.trunk().eval().state_dict()))


def widths(backbone: Backbone) -> list[int]:
    """Return how many features come from each depth, input to output: one, but for what `all_depths` made."""
    boundaries = [stage.module.boundary for stage in backbone.stages if isinstance(stage.module, Deep)]
    before = [one.channels for one in boundaries if one is not None]
    return [*before, backbone.width - sum(before)]


def _boundaries(backbone: Backbone) -> list[Boundary]:
    """Look at what arrives at each stage but the first."""
    size, found = backbone.native.size, list[Boundary]()
    x = torch.zeros(1, 3, size, size)
    with torch.no_grad():
        for stage, _ in pairwise(backbone.stages):
            x = stage.module(x)
            layout = _layout(x)
            channels = x.shape[1] if layout in ("channels_first", "flat") else x.shape[-1]
            found.append(Boundary(layout, channels, sum(one.channels for one in found)))
    return found


def _layout(x: Tensor) -> Layout:
    if x.ndim == 4:
        return "channels_first" if x.shape[2] == x.shape[3] else "channels_last"
    return "tokens" if x.ndim == 3 else "flat"
