"""Which pictures of a dataset are to be validated, and which of them cannot count. Opens no picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Index, Picture, Unreadable

__all__ = ["SPLITS", "Selection", "select"]

SPLITS = ("train", "val", "test", "all")


@dataclass(frozen=True, slots=True)
class Selection:
    """Different pictures of one split, in the order of the index.

    split: None where the dataset is used whole. copies: pictures whose bytes are chosen already.
    conflicts: pictures whose copies have other labels, so that no answer would be right.
    """

    split: str | None
    pictures: tuple[Picture, ...]
    copies: tuple[Unreadable, ...]
    conflicts: tuple[Unreadable, ...]


def select(index: Index, split: str, limit: int | None = None) -> Selection:
    """Choose the pictures of a split: each once, and none with contradictory labels.

    Args:
        split: "train", "val", "test", or "all". A dataset without splits is used whole.
        limit: Choose so many pictures at most: those of the smallest hashes, which are spread over the
            classes and the same wherever the dataset lies.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1 picture, got {limit!r}.")
    used = _used_split(index, split)
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in index.pictures:
        if used in (None, picture.split):
            groups[picture.sha256].append(picture)
    sound = {sha for sha, group in groups.items() if len({picture.labels for picture in group}) == 1}
    kept = set(sorted(sound)[:limit])
    return Selection(
        split=used,
        pictures=tuple(group[0] for sha, group in groups.items() if sha in kept),
        copies=tuple(_copy(one, group) for sha, group in groups.items() if sha in kept for one in group[1:]),
        conflicts=tuple(
            _conflict(one, group) for sha, group in groups.items() if sha not in sound for one in group
        ),
    )


def _used_split(index: Index, split: str) -> str | None:
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    known = sorted({picture.split for picture in index.pictures if picture.split})
    if split == "all" or not known:
        return None
    if split not in known:
        raise InputError(
            f"The dataset has no split {split!r}; it has {', '.join(known)}. Choose one, or 'all'."
        )
    return split


def _copy(picture: Picture, group: Sequence[Picture]) -> Unreadable:
    return Unreadable(picture.path, f"has the same bytes as {group[0].path.name!r}")


def _conflict(picture: Picture, group: Sequence[Picture]) -> Unreadable:
    labels = sorted({"|".join(one.labels) for one in group})
    return Unreadable(picture.path, f"has copies with the labels {', '.join(map(repr, labels))}")
