"""What a backbone is: stages in a row, and the pictures they were trained on. Knows no library."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from edgetl_runtime.errors import InputError
from edgetl_runtime.preprocess import Filter, Preprocess

Source = Literal["lite", "torchvision", "timm"]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Native:
    """The preprocessing a network was trained with.

    size: side of the square picture, in pixels. crop: side of the centred square that is kept, as a share of
    the picture's shorter side, in (0, 1]. mean, std: for red, green and blue in 0–1.
    """

    size: int
    crop: float
    filter: Filter
    mean: Triple
    std: Triple

    def __post_init__(self) -> None:
        self.preprocess()
        if min(self.std) <= 0:
            raise InputError(f"Native.std must be positive, got {self.std!r}.")

    def preprocess(self) -> Preprocess:
        """Give the part that runs before the graph; mean and std are inside it."""
        return Preprocess(self.size, self.crop, self.filter)


@dataclass(frozen=True, slots=True)
class Stage:
    """A contiguous piece of a network, under the name that its library gives to the piece's first layer."""

    name: str
    module: nn.Module


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network without its classifier.

    Calling `stages` one after another turns pictures, (n, 3, size, size) float32 normalised with
    `native.mean` and `native.std`, into pooled features, (n, width) float32. A stage may be cut off, frozen
    or trained by itself, and none writes into its input. With features of all depths, what goes from stage to
    stage is more than a tensor, see `depths`. `trunk`, `prefix` and `suffix` share parameters.

    name: what `create_backbone` takes to make it again. licence: of the weights. top1: the published ImageNet
    top-1 accuracy, 0–1. weights_id: `state_id` of the network without classifier, under the library's names.
    """

    name: str
    source: Source
    stages: tuple[Stage, ...]
    width: int
    native: Native
    licence: str
    top1: float | None
    weights_id: str

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise InputError(f"Backbone.stages must have different names, at least one, got {names!r}.")
        if self.width < 1:
            raise InputError(f"Backbone.width must be positive, got {self.width!r}.")

    def with_input(self, size: int | None, crop: float | None) -> "Backbone":
        """Return the same network for pictures of another size or crop; None keeps its own.

        Raises:
            InputError: the network cannot take that size, which a picture that goes through it shows.
        """
        native = replace(self.native, size=size or self.native.size, crop=crop or self.native.crop)
        if reason := self.why_not(native.size):
            raise InputError(
                f"The backbone {self.name!r} cannot take {reason}. Its own size is {self.native.size}; many "
                "networks take no other. Ask for that, or choose another backbone."
            )
        return replace(self, native=native)

    def why_not(self, size: int) -> str:
        """Return what this network cannot take where that is pictures of this size, or the empty text."""
        if size == self.native.size:
            return ""
        try:
            with torch.no_grad():
                self.trunk()(torch.zeros(1, 3, size, size))
        except (AssertionError, RuntimeError, ValueError) as error:  # Each network has a way of its own.
            reason = (str(error).splitlines() or ["no reason given"])[0].rstrip(".")
            return f"pictures of {size} × {size} pixels ({reason})"
        return ""

    def trunk(self) -> nn.Sequential:
        """Join all stages: pictures in, pooled features out."""
        return self.prefix(len(self.stages))

    def prefix(self, k: int) -> nn.Sequential:
        """Join the first `k` stages; none gives the identity."""
        return _join(self.stages[: self._checked(k)])

    def suffix(self, k: int) -> nn.Sequential:
        """Join the stages from number `k` on: what follows `prefix(k)`."""
        return _join(self.stages[self._checked(k) :])

    def _checked(self, k: int) -> int:
        count = len(self.stages)
        if not 0 <= k <= count:
            raise InputError(f"{self.name!r} has {count} stages and can be cut at 0 to {count}, got {k!r}.")
        return k


def _join(stages: tuple[Stage, ...]) -> nn.Sequential:
    return nn.Sequential(OrderedDict((stage.name, stage.module) for stage in stages))
