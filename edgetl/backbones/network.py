"""What a source of networks hands over: a whole network without classifier, and what is known about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import nn

from edgetl.backbones.backbone import Native
from edgetl.backbones.cut import Link

Weights = Literal["default", "none"] | Path


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source knows of a network before it is built.

    installed: its default weights lie on this machine, so that no hub is asked.
    """

    licence: str
    top1: float | None
    installed: bool


@dataclass(frozen=True, slots=True)
class Network:
    """A network without its classifier, and the links that it should be a chain of."""

    module: nn.Module
    links: list[Link]
    native: Native


class NetworkSource(Protocol):
    """A module that knows where some networks come from."""

    def names(self) -> list[str]:
        """List every network of the source."""

    def knows(self, name: str) -> bool:
        """Tell whether `build` takes this name; there may be more than `names` lists."""

    def facts(self, name: str) -> Facts:
        """Describe a network without building it."""

    def build(self, name: str, weights: Weights, seed: int) -> Network:
        """Make a network with weights, in evaluation mode."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed`; the libraries draw from torch's global generator, left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
