"""Frozen layers run once: each picture and view goes through them, and the cache keeps what they gave.

Training needs torch only for the layers that change. What the others gave is read from disk from then on: the
pooled features, and the activations at each boundary between frozen and trained stages. What runs them is
`edgetl.forward`'s affair.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.backbones import Backbone
from edgetl.cache import Rows, Store
from edgetl.decoded import decoded
from edgetl.eviction import cap_bytes, make_room, spare_bytes
from edgetl.forward import Forward, ForwardName, Precision, best_forward, open_forward
from edgetl.frozen import FrozenStages
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture, Progress
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.remembered import cache_folder

# Part of every key: raise it when the same inputs would give other rows.
_VERSION = 2


class PictureCopy(Protocol):
    """A dataclass that says how a picture is changed before the frozen layers see it, and does so."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Change (n, height, width, 3), the same pictures always in the same way."""
        ...


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
        self._module = FrozenStages(backbone, cuts).eval()
        self._preprocess, self._precision, self._cuts = preprocess, precision, tuple(cuts)
        self._facts = {
            "version": _VERSION,
            "backbone": backbone.name,
            "weights": backbone.weights_id,
            "preprocess": preprocess.to_steps(),
            "normalisation": [backbone.native.mean, backbone.native.std],
            "precision": precision,
            "forward": self._name,
        }
        size = preprocess.size
        with torch.no_grad():
            outputs = self._module(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        self._shapes = [tuple(output.shape[1:]) for output in outputs]
        self._forward: Forward | None = None

    def __call__(
        self, pictures: Sequence[Picture], views: Sequence[PictureCopy], progress: Progress | None = None
    ) -> Activations:
        """Return the activations of these pictures; those not cached are computed now.

        Raises:
            InputError: a picture cannot be read, an activation is too large to keep, or the disk is full.
        """
        stores = [[self._store(view, index) for index in range(len(self._shapes))] for view in views]
        if _missing(pictures, stores):
            self._compute(pictures, views, stores, progress)
        keys = [picture.sha256 for picture in pictures]
        rows = [[store.rows(keys) for store in view] for view in stores]
        boundaries = {cut: tuple(view[i] for view in rows) for i, cut in enumerate(self._cuts)}
        return Activations(tuple(view[-1] for view in rows), boundaries)

    def _store(self, view: PictureCopy, index: int) -> Store:
        cut = self._cuts[index] if index < len(self._cuts) else "features"
        facts = self._facts | {"view": asdict(view), "after": cut}
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
        return Store(activations_folder() / name, self._shapes[index], "float16", facts)

    def _compute(
        self,
        pictures: Sequence[Picture],
        views: Sequence[PictureCopy],
        stores: Sequence[Sequence[Store]],
        progress: Progress | None,
    ) -> None:
        """Decode ahead, infer asynchronously, and append batch by batch."""
        done, forward = 0, self._opened()
        with ExitStack() as stack:
            writers = [[stack.enter_context(store.writer()) for store in view] for view in stores]
            pictures = _missing(pictures, stores)  # Another process may have had the lock until now.
            row_bytes = sum(store.row_bytes for view in stores for store in view)
            folder, needed = activations_folder(), len(pictures) * row_bytes
            make_room(folder, needed, cap_bytes())
            spare = spare_bytes(folder, cap_bytes()) - needed
            batches = decoded(folder, self._preprocess, pictures, spare)
            for batch, images in stack.enter_context(closing(batches)):
                keys = [picture.sha256 for picture in batch]
                mirrored = [np.ascontiguousarray(view(images)) for view in views]
                for outputs, view_writers in zip(forward(mirrored), writers, strict=True):
                    for rows, writer in zip(outputs, view_writers, strict=True):
                        writer.append(keys, _halved(rows, batch))
                done += len(batch)
                if progress is not None:
                    progress(done, len(pictures))

    def _opened(self) -> Forward:
        if self._forward is None:
            self._forward = open_forward(self._name, self._module, self._preprocess.size, self._precision)
        return self._forward


def activations_folder() -> Path:
    """Return the folder of the stores."""
    return cache_folder() / "activations"


def _missing(pictures: Sequence[Picture], stores: Sequence[Sequence[Store]]) -> list[Picture]:
    """Return the pictures, each once, of which some store has no row."""
    keys = [picture.sha256 for picture in pictures]
    return [
        pictures[i] for i in sorted({i for view in stores for store in view for i in store.missing(keys)})
    ]


def _halved(rows: NDArray[np.float32], batch: Sequence[Picture]) -> NDArray[np.float16]:
    """Convert to what the cache keeps."""
    with np.errstate(over="ignore"):
        halved = rows.astype(np.float16)
    wrong = [
        str(picture.path) for picture, row in zip(batch, halved, strict=True) if not np.isfinite(row).all()
    ]
    if wrong:
        raise InputError(
            f"The backbone gives activations above 65,504, or none, for {wrong[0]!r}: more than the feature "
            "cache can hold. Choose another --backbone or other --weights."
        )
    return halved
