"""What the training benchmark compares: methods, sets, and what all methods share on a set."""

from dataclasses import dataclass

METHODS = ("ours-head", "ours", "fastai", "torchvision")


@dataclass(frozen=True, slots=True)
class Setting:
    """What all methods share on a set.

    size: of the network's input. flips: upside down means the same. seeds: of the comparison.
    """

    size: int
    flips: bool
    peer_epochs: dict[str, int]
    seeds: tuple[int, ...] = (0, 1, 2)


# The peers' epochs are those of their own pages where that takes minutes here, fewer where it takes hours.
SETTINGS = {
    "solar-cells": Setting(224, True, {"fastai": 4, "torchvision": 4}),
    "fashion-1000": Setting(96, False, {"fastai": 6, "torchvision": 10}),
    "fashion-10000": Setting(96, False, {"fastai": 4, "torchvision": 4}, seeds=(0,)),
    "pictograms": Setting(96, False, {"fastai": 6, "torchvision": 10}),
}
