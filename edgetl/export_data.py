"""The pictures of an export by their role: no more than memory and minutes allow, always the same, decoded.

Training pictures are taken from all classes alike, since they calibrate and solve heads. Those that choose
and those that verify keep the shares of the classes: accuracy, temperature and thresholds are to hold for
pictures as they come, and a balanced choice would measure others.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.dataset import Dataset
from edgetl.decoded import decoded
from edgetl.extraction import activations_folder
from edgetl.roles import halves
from edgetl_exporters.calibration import Choose, balanced, proportional
from edgetl_exporters.model import ExportData, Labelled, Watcher
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture
from edgetl_runtime.preprocess import Preprocess

# Of each role. More training pictures hardly move a head on frozen int8 features; so many verifying ones
# certify half a point where one answer in a hundred changes, and each costs time in every engine and rung.
MOST_PICTURES = 4_000
MOST_BYTES = 2**30

Targets = Callable[[Sequence[Picture]], NDArray[Any]]


def export_data(dataset: Dataset, preprocess: Preprocess, targets: Targets, watcher: Watcher) -> ExportData:
    """Choose and decode the pictures of each role.

    Args:
        targets: what the model should answer to pictures, in its own order of classes.

    Raises:
        InputError: all validation pictures are training pictures too.
    """
    seen = {one.sha256 for one in dataset.train}
    choose, verify = (_unseen(half, seen, watcher) for half in halves(dataset.val))
    most = min(MOST_PICTURES, MOST_BYTES // (3 * preprocess.size**2))
    roles: list[tuple[str, Sequence[Picture], Choose]] = [
        ("training pictures calibrate and solve the head", dataset.train, balanced),
        ("validation pictures choose", choose, proportional),
        ("validation pictures verify", verify, proportional),
    ]
    found = []
    for what, pictures, choice in roles:
        kept = [pictures[place] for place in _places(pictures, choice, most)]
        if len(kept) < len(pictures):
            watcher.note(f"{len(kept):,} of {len(pictures):,} {what}.")
        found.append(labelled_pictures(preprocess, kept, targets(kept)))
    return ExportData(*found)


def dataset_facts(fingerprint: str, counts: Mapping[str, int], licence: str | None) -> dict[str, Any]:
    """Return what a bundle says of the pictures; their licence is their owner's to state, or unknown."""
    facts: dict[str, Any] = {"fingerprint": fingerprint, "counts": dict(counts)}
    return facts if licence is None else facts | {"licence": licence}


def labelled_pictures(preprocess: Preprocess, pictures: Sequence[Picture], targets: NDArray[Any]) -> Labelled:
    """Decode pictures as a device does, or take what training kept; they keep the hashes of their files."""
    places = defaultdict[str, list[int]](list)
    for place, one in enumerate(pictures):
        places[one.sha256].append(place)
    distinct = [pictures[same[0]] for same in places.values()]
    pixels = np.empty((len(pictures), preprocess.size, preprocess.size, 3), np.uint8)
    with closing(decoded(activations_folder(), preprocess, distinct, room=0)) as batches:
        for batch, images in batches:
            for one, image in zip(batch, images, strict=True):
                pixels[places[one.sha256]] = image
    return Labelled(pixels, targets, tuple(one.sha256 for one in pictures))


def _unseen(half: Sequence[Picture], seen: Container[str], watcher: Watcher) -> list[Picture]:
    """Leave out what the user's own splits have in training as well: it would judge what it made."""
    kept = [one for one in half if one.sha256 not in seen]
    if not kept:
        raise InputError(
            f"An export needs validation pictures that are no training pictures too, got none in a half of "
            f"{len(half):,}. Change the splits, and train again."
        )
    if len(kept) < len(half):
        watcher.note(
            f"{len(half) - len(kept):,} validation pictures are left out: they are training pictures too."
        )
    return kept


def _places(pictures: Sequence[Picture], choose: Choose, most: int) -> list[int]:
    return choose([one.sha256 for one in pictures], [one.labels for one in pictures], most)
