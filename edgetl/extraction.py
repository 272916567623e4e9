"""Pictures through frozen stages into the cache: alone in one go, or shared by many, who write in turns.

Knows nothing of what the rows are for; `edgetl.features` says which are wanted.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edgetl.cache import Store
from edgetl.cluster.workers import helpers
from edgetl.decoded import decoded
from edgetl.eviction import cap_bytes, make_room, spare_bytes
from edgetl.forward import BATCH, Forward, ForwardName, Pending, Precision, open_forward
from edgetl.frozen import FrozenStages
from edgetl.ranks import here, share
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture, Progress
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.remembered import cache_folder

# Ranks compute without a word for about so long: Ctrl-C, an error and the progress bar wait for it.
_PART_S = 4.0
# Fewer pictures are computed before workers elsewhere have begun.
_FEWEST = 1000
# What a rank holds back before it takes its turn to write.
_BUFFER_BYTES = 64 << 20

# The keys of a batch, and for each view the rows of every store.
Computed = tuple[list[str], list[list[NDArray[np.float16]]]]


class PictureCopy(Protocol):
    """A dataclass that says how a picture is changed before the frozen layers see it, and does so."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Change (n, height, width, 3), the same pictures always in the same way."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The copies of a picture that go through the stages, and for each the stores of what comes out."""

    views: Sequence[PictureCopy]
    stores: Sequence[Sequence[Store]]

    @property
    def row_bytes(self) -> int:
        """How many bytes all rows of a picture take."""
        return sum(store.row_bytes for view in self.stores for store in view)

    def missing(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Return the pictures, each once, of which some store has no row."""
        keys = [picture.sha256 for picture in pictures]
        places = {place for view in self.stores for store in view for place in store.missing(keys)}
        return [pictures[place] for place in sorted(places)]


class Extraction:
    """Frozen stages, compiled at the first picture, on every rank."""

    def __init__(
        self, name: ForwardName, module: FrozenStages, preprocess: Preprocess, precision: Precision
    ) -> None:
        arguments = name, module, preprocess, precision
        self._ranks = here()
        self._everywhere = self._ranks.everywhere(Extraction, lambda: arguments)
        self._arguments, self._preprocess = arguments, preprocess
        self._forward: Forward | None = None
        self.shares = [0] * self._ranks.size

    def compute(self, pictures: Sequence[Picture], wanted: Wanted, progress: Progress | None) -> None:
        """Put the rows of these pictures into their stores.

        Raises:
            InputError: a picture cannot be read, an activation is too large to keep, or the disk is full.
        """
        workers = helpers()
        if self._ranks.size > 1:
            self._by_all(pictures, wanted, progress)
        elif workers is not None and len(pictures) >= _FEWEST:
            from edgetl.handout import hand_out

            hand_out(workers, self._arguments, pictures, wanted, progress)
        else:
            self._alone(pictures, wanted, progress)

    def fill(
        self, pictures: Sequence[Picture], wanted: Wanted, spare: int
    ) -> list[tuple[int, InputError | OSError | None]]:
        """Compute this rank's share; return how many pictures each rank has computed, or what kept it.

        spare: bytes that a rank may spend on pixels.
        """
        own, failed = [pictures[place] for place in share(len(pictures), self._ranks)], None
        try:
            self._fill(own, wanted, spare)
        except (InputError, OSError) as error:  # Told by the leader, as if it had met it itself.
            failed = error
        return self._ranks.gather((len(own), failed))

    def _alone(self, pictures: Sequence[Picture], wanted: Wanted, progress: Progress | None) -> None:
        """Hold the stores until all is done: another process that wants the same waits for it."""
        done, _ = 0, self._opened()
        with ExitStack() as stack:
            writers = [[stack.enter_context(store.writer()) for store in view] for view in wanted.stores]
            pictures = wanted.missing(pictures)  # Another process may have had the lock until now.
            spare = _made_room(len(pictures) * wanted.row_bytes)
            batches = stack.enter_context(closing(self._batches(pictures, wanted.views, spare)))
            for keys, computed in batches:
                for rows, view in zip(computed, writers, strict=True):
                    for one, writer in zip(rows, view, strict=True):
                        writer.append(keys, one)
                done += len(keys)
                if progress is not None:
                    progress(done, len(pictures))

    def _by_all(self, pictures: Sequence[Picture], wanted: Wanted, progress: Progress | None) -> None:
        """Order part after part, each as large as takes a few seconds."""
        done, size = 0, BATCH
        spare = _made_room(len(pictures) * wanted.row_bytes) // self._ranks.size
        while done < len(pictures):
            begun, part = time.monotonic(), pictures[done : done + size * self._ranks.size]
            with self._everywhere("fill", part, wanted, spare):
                found = self.fill(part, wanted, spare)
            for failed in (error for _, error in found if error is not None):
                raise failed
            self.shares = [before + count for before, (count, _) in zip(self.shares, found, strict=True)]
            done += len(part)
            size = next_part(size, time.monotonic() - begun)
            if progress is not None:
                progress(done, len(pictures))

    def _fill(self, pictures: Sequence[Picture], wanted: Wanted, spare: int) -> None:
        pending: list[Computed] = []
        with closing(self._batches(pictures, wanted.views, spare)) as batches:
            for computed in batches:
                pending.append(computed)
                if sum(len(keys) for keys, _ in pending) * wanted.row_bytes > _BUFFER_BYTES:
                    _write(pending, wanted.stores)
                    pending = []
        _write(pending, wanted.stores)

    def _batches(
        self, pictures: Sequence[Picture], views: Sequence[PictureCopy], spare: int
    ) -> Generator[Computed, None, None]:
        """Decode ahead, and begin with a batch before the results of the one before it are worked on."""
        forward, begun = self._opened(), list[tuple[Sequence[Picture], Pending]]()
        with closing(decoded(activations_folder(), self._preprocess, pictures, spare)) as batches:
            try:
                for batch, images in batches:
                    mirrored = [np.ascontiguousarray(view(images)) for view in views]
                    begun.append((batch, forward.start(mirrored)))
                    if len(begun) > 1:
                        yield _computed(*begun.pop(0))
            except (InputError, OSError):  # What was begun before a picture that cannot be read is kept.
                for one in begun:
                    yield _computed(*one)
                raise
            for one in begun:
                yield _computed(*one)

    def _opened(self) -> Forward:
        if self._forward is None:
            name, module, preprocess, precision = self._arguments
            self._forward = open_forward(name, module, preprocess.size, precision)
        return self._forward


def activations_folder() -> Path:
    """Return the folder of the stores."""
    return cache_folder() / "activations"


def next_part(size: int, seconds: float) -> int:
    """Return how many pictures a rank gets next, after so many took so long; at most four times as many."""
    wished = int(size * min(4.0, _PART_S / max(seconds, 1e-3)))
    return max(BATCH, wished // BATCH * BATCH)


def _made_room(needed: int) -> int:
    """Evict what must go for so many bytes, and return what is spare beside them."""
    folder = activations_folder()
    make_room(folder, needed, cap_bytes())
    return spare_bytes(folder, cap_bytes()) - needed


def _write(pending: Sequence[Computed], stores: Sequence[Sequence[Store]]) -> None:
    """Append to one store after another, each locked no longer than that takes."""
    for number, view in enumerate(stores):
        for place, store in enumerate(view):
            with store.writer() as writer:
                for keys, computed in pending:
                    writer.append(keys, computed[number][place])


def _computed(batch: Sequence[Picture], pending: Pending) -> Computed:
    """Wait for a batch."""
    computed = [[_halved(rows, batch) for rows in outputs] for outputs in pending()]
    return [picture.sha256 for picture in batch], computed


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
