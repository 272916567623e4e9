"""Chooses a few pictures out of many: as many of each class as there are, and always the same ones."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import chain, zip_longest

from edgetl_exporters.model import Labelled, Pixels


def calibration_pictures(train: Labelled, count: int) -> Pixels:
    """Return at most `count` pictures, (n, size, size, 3), balanced over the sets of labels.

    Their order of contents decides, so that neither the order of the files nor a seed matters.
    """
    keys = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in train.pixels]
    groups = [target.tobytes() for target in train.targets]
    return train.pixels[balanced(keys, groups, count)]


def balanced(keys: Sequence[str], groups: Sequence[Hashable], count: int) -> list[int]:
    """Return the rising places of at most `count` items, taken from the groups in turns, by their keys."""
    members: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place in sorted(range(len(keys)), key=lambda place: keys[place]):
        members[groups[place]].append(place)
    turns = chain.from_iterable(zip_longest(*members.values()))
    return sorted([place for place in turns if place is not None][:count])
