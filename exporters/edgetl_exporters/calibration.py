"""Chooses a few pictures out of many, always the same ones: all classes alike, or by their shares."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import chain, zip_longest
from math import ceil

import numpy as np
from numpy.typing import NDArray

from edgetl_exporters.model import Labelled, Pixels

# From the keys and groups of items, and how many: the rising places of those that are taken.
Choose = Callable[[Sequence[str], Sequence[Hashable], int], list[int]]
_SIDE = 224


def calibration_pictures(train: Labelled, count: int) -> Pixels:
    """Return at most `count` pictures, (n, size, size, 3), balanced over the sets of labels.

    The hashes of their contents decide, so that neither the order of the files nor a seed matters.
    """
    groups = [target.tobytes() for target in train.targets]
    return train.pixels[balanced(train.keys(), groups, count)]


def part(pictures: Labelled, limit: float, least: int) -> tuple[NDArray[np.intp], Labelled]:
    """Return the places of some pictures, each class its share, and these pictures.

    So many that one lost answer is within the limit, 0–1, and at least `least` of 224 pixels a side, or as
    many smaller ones as take the same time, where there are so many.
    """
    count = max(least, round(least * (_SIDE / pictures.pixels.shape[1]) ** 2), ceil(1 / limit))
    keys = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures.pixels]
    places = np.array(proportional(keys, [target.tobytes() for target in pictures.targets], count))
    sha256 = tuple(pictures.sha256[place] for place in places) if pictures.sha256 else ()
    return places, Labelled(pictures.pixels[places], pictures.targets[places], sha256)


def balanced(keys: Sequence[str], groups: Sequence[Hashable], count: int) -> list[int]:
    """Return the rising places of at most `count` items, taken from the groups in turns, by their keys."""
    turns = chain.from_iterable(zip_longest(*_members(keys, groups)))
    return sorted([place for place in turns if place is not None][:count])


def proportional(keys: Sequence[str], groups: Sequence[Hashable], count: int) -> list[int]:
    """Return the rising places of at most `count` items, by keys: each group's share, and one at least."""
    ranks = {
        place: rank / len(members) for members in _members(keys, groups) for rank, place in enumerate(members)
    }
    return sorted(sorted(ranks, key=lambda place: (ranks[place], keys[place]))[:count])


def _members(keys: Sequence[str], groups: Sequence[Hashable]) -> list[list[int]]:
    """Return the places of each group, in the order of their keys."""
    members: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place in sorted(range(len(keys)), key=lambda place: keys[place]):
        members[groups[place]].append(place)
    return list(members.values())
