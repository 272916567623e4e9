"""What configurations cost on this machine, measured before anything is trained."""

from itertools import product

from edgetl.advise.backbones import open_candidate
from edgetl.cost import Cost, find_cost
from edgetl.search.ground import Ground
from edgetl.search.space import Configuration
from edgetl_runtime.errors import InputError


def price(ground: Ground, configuration: Configuration) -> tuple[Cost, int]:
    """Return what a configuration costs, measured now or before, and how many stages it has.

    Raises:
        InputError: its backbone cannot be had, or not at its size.
    """
    backbone = open_candidate(configuration.backbone)
    backbone = backbone.with_input(configuration.size, ground.asked.settings.get("crop"))
    return find_cost(backbone, len(ground.dataset.classes)), len(backbone.stages)


def price_all(ground: Ground) -> None:
    """Measure whatever may be tried, as far as the time budget allows."""
    ground.watcher.phase("cost")
    pairs = list(product(ground.asked.space.backbones, ground.asked.space.sizes))
    for done, (backbone, size) in enumerate(pairs):
        ground.watcher.progress(done, len(pairs))
        if ground.seconds_left() <= 0:
            return
        try:
            price(ground, Configuration(backbone, size, ground.asked.space.recipes[0]))
        except InputError:  # Its trial says so.
            continue
