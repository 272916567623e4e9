"""Decoded pictures, batch by batch, a batch ahead; kept on disk where that pays. Knows no network.

Advice, probes, trials and attempts look at the same pictures again and again through the same preprocessing.
Pixels are read back in microseconds, where decoding a photograph takes milliseconds. They lie among the
activations and are evicted with them, but never evict anything themselves.
"""

import hashlib
import json
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl.cache import NoSpace, Rows, Store
from edgetl.forward import BATCH
from edgetl.ranks import on_this_machine
from edgetl_runtime.decode import read_file
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import PictureError
from edgetl_runtime.pictures import Picture
from edgetl_runtime.preprocess import Preprocess

# Part of the store's name: raise it when the same picture would give other pixels.
_VERSION = 2
# Seconds of a processor for a picture. Writing its pixels at 224 takes a third of a millisecond, once.
_DEAR_S = 1e-3
_TIMED = 4 * BATCH
_BUFFER_BYTES = 32 << 20

Batches = Generator[tuple[Sequence[Picture], NDArray[np.uint8]], None, None]


def decoded(folder: Path, preprocess: Preprocess, pictures: Sequence[Picture], room: int) -> Batches:
    """Yield batches with their pixels, (n, size, size, 3), the next batch being decoded meanwhile.

    Args:
        folder: of the stores. pictures: different ones. room: bytes that pixels may take.
    """
    shelf = _Shelf(folder, preprocess, pictures, room)
    batches = [range(i, min(i + BATCH, len(pictures))) for i in range(0, len(pictures), BATCH)]
    threads = min(BATCH, max(1, read_environment().cores // on_this_machine()))
    with ThreadPoolExecutor(threads) as pool:

        def submit(places: range) -> list[Future[NDArray[np.uint8]]]:
            return [pool.submit(shelf.pixels, place) for place in places]

        try:
            ahead = submit(batches[0]) if batches else []
            for number, places in enumerate(batches):
                futures, ahead = ahead, submit(batches[number + 1]) if number + 1 < len(batches) else []
                images = np.stack([future.result() for future in futures])
                shelf.keep(places, images)
                yield [pictures[place] for place in places], images
        finally:
            shelf.flush()


class _Shelf:
    """The pixels that are kept of some pictures, and those that will be."""

    def __init__(self, folder: Path, preprocess: Preprocess, pictures: Sequence[Picture], room: int) -> None:
        facts = {"version": _VERSION, "preprocess": preprocess.to_steps()}
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
        self._folder, self._preprocess, self._pictures = folder / f"pixels-{name}", preprocess, pictures
        seen = {"backbone": "any", "after": "decoding", "view": {"name": "plain"}, "precision": "uint8"}
        self._facts = facts | seen
        self._place = np.full(len(pictures), -1, np.int64)
        self._rows = self._kept()
        self._room = room
        self._seconds: list[float] = []
        self._pending: list[tuple[str, NDArray[np.uint8]]] = []

    def pixels(self, place: int) -> NDArray[np.uint8]:
        """Read or decode a picture; called by several threads."""
        if self._rows is not None and self._place[place] >= 0:
            read: NDArray[np.uint8] = self._rows.take(self._place[place : place + 1])[0]
            return read
        begun = time.thread_time()
        image = _decode(self._pictures[place], self._preprocess)
        if len(self._seconds) < _TIMED:
            self._seconds.append(time.thread_time() - begun)
        return image

    def keep(self, places: range, images: NDArray[np.uint8]) -> None:
        """Keep the pixels that were decoded, where decoding is dear and there is room."""
        # The median, since the first of all pictures loads what decodes.
        if not self._seconds or np.median(self._seconds) < _DEAR_S:
            return
        for number, place in enumerate(places):
            if self._place[place] < 0 and images[number].nbytes <= self._room:
                self._room -= images[number].nbytes
                self._pending.append((self._pictures[place].sha256, images[number]))
        if sum(image.nbytes for _, image in self._pending) > _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; the store is locked no longer than that takes, for others fill it too."""
        if not self._pending:
            return
        keys, images = [key for key, _ in self._pending], np.stack([image for _, image in self._pending])
        self._pending = []
        try:
            with self._store().writer() as writer:
                writer.append(keys, images)
        except (
            NoSpace
        ):  # Somebody was faster. Pixels can be decoded again; the rows that need room will tell.
            self._room = 0

    def _store(self) -> Store:
        size = self._preprocess.size
        return Store(self._folder, (size, size, 3), "uint8", self._facts)

    def _kept(self) -> Rows | None:
        """Return the rows that are there, and note which picture has which; None where there is no store."""
        if not self._folder.is_dir():
            return None
        store, keys = self._store(), [one.sha256 for one in self._pictures]
        there = np.ones(len(keys), np.bool_)
        there[store.missing(keys)] = False
        self._place[there] = np.arange(int(there.sum()))
        return store.rows([keys[place] for place in np.flatnonzero(there)])


def _decode(picture: Picture, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Decode the bytes that the picture's hash is of: what comes of them is kept under it for good."""
    data, name = read_file(picture.path), str(picture.path)
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise PictureError(
            name,
            "has changed since the pictures were read",
            "Leave them as they are, and start again: what was computed of the others is kept.",
        )
    try:
        return preprocess(data)
    except PictureError as error:  # Bytes have no name.
        raise PictureError(name, error.reason, error.remedy) from error
