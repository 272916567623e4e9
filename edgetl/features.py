"""Frozen layers run once: each picture and view goes through them, and the cache keeps what they gave.

Training needs torch only for the layers that change. What the others gave is read from disk from then on: the
pooled features, and the activations at each boundary between frozen and trained stages. What runs them is
`edgetl.forward`'s affair.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edgetl.backbones import Backbone
from edgetl.cache import Rows, Store
from edgetl.extraction import Extraction, PictureCopy, Wanted, activations_folder
from edgetl.forward import ForwardName, Precision, best_forward
from edgetl.frozen import FrozenStages
from edgetl_runtime.pictures import Picture, Progress
from edgetl_runtime.preprocess import Preprocess

# Part of every key: raise it when the same inputs would give other rows.
_VERSION = 3


@dataclass(frozen=True, slots=True)
class View:
    """A mirrored copy of a picture: left and right swapped, top and bottom swapped, both or neither."""

    name: str
    horizontal: bool = False
    vertical: bool = False

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mirror (n, height, width, 3)."""
        return images[:, :: -1 if self.vertical else 1, :: -1 if self.horizontal else 1]


PLAIN = View("plain")
VIEWS = {
    "none": (PLAIN,),
    "hflip": (PLAIN, View("hflip", horizontal=True)),
    "flips": (
        PLAIN,
        View("hflip", horizontal=True),
        View("vflip", vertical=True),
        View("hvflip", horizontal=True, vertical=True),
    ),
}


@dataclass(frozen=True, slots=True)
class Activations:
    """What the frozen layers gave for some pictures.

    features: (n, width) rows for each view. boundaries: by the number of frozen stages, rows for each view.
    """

    features: tuple[Rows, ...]
    boundaries: dict[int, tuple[Rows, ...]]


class Extractor:
    """A backbone's frozen stages, compiled when the first picture is not in the cache.

    Args:
        cuts: the boundaries to keep, as numbers of frozen stages, rising.
        precision: bf16 is about twice as fast where the device has it; see `forward.fast_precision`.
        forward: what computes; None takes the GPU where there is one, else OpenVINO.
    """

    def __init__(
        self,
        backbone: Backbone,
        preprocess: Preprocess,
        cuts: Sequence[int],
        precision: Precision,
        forward: ForwardName | None = None,
    ) -> None:
        self._name: ForwardName = forward or best_forward()
        module, self._cuts = FrozenStages(backbone, cuts).eval(), tuple(cuts)
        self._extraction = Extraction(self._name, module, preprocess, precision)
        self._facts = {
            "version": _VERSION,
            "backbone": backbone.name,
            "weights": backbone.weights_id,
            "preprocess": preprocess.to_steps(),
            "normalisation": [backbone.native.mean, backbone.native.std],
            "precision": precision,
            "forward": self._name,
        }
        self._shapes = module.shapes(preprocess.size)

    @property
    def shares(self) -> tuple[int, ...]:
        """How many pictures each rank has computed, where several share them; else a nought."""
        return tuple(self._extraction.shares)

    def __call__(
        self, pictures: Sequence[Picture], views: Sequence[PictureCopy], progress: Progress | None = None
    ) -> Activations:
        """Return the activations of these pictures; those not cached are computed now.

        Raises:
            InputError: a picture cannot be read, an activation is too large to keep, or the disk is full.
        """
        stores = [[self._store(view, index) for index in range(len(self._shapes))] for view in views]
        wanted = Wanted(views, stores)
        if missing := wanted.missing(pictures):
            self._extraction.compute(missing, wanted, progress)
        keys = [picture.sha256 for picture in pictures]
        rows = [[store.rows(keys) for store in view] for view in stores]
        boundaries = {cut: tuple(view[i] for view in rows) for i, cut in enumerate(self._cuts)}
        return Activations(tuple(view[-1] for view in rows), boundaries)

    def _store(self, view: PictureCopy, index: int) -> Store:
        cut = self._cuts[index] if index < len(self._cuts) else "features"
        facts = self._facts | {"view": asdict(view), "after": cut}
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
        return Store(activations_folder() / name, self._shapes[index], "float16", facts)
