"""Which picture goes into which split, decided by what the picture is. Knows hashes and labels, no files.

A picture's place is a number in [0, 1) made from its SHA-256 alone, and the splits are intervals. So the same
bytes never lie in two splits, and pictures that are added or removed move no other.

There is one exception. A class that the intervals leave without a picture in some split borrows one, so that
it can be trained and judged; that picture goes back once the class has its own there. In a single-label
dataset no picture moves of a class that has some in every interval.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import accumulate

from edgetl_runtime.pictures import Split

# A class with too few pictures for every split has one in train first, and in val last.
_FIRST: tuple[Split, ...] = ("train", "test", "val")


def split_by_hash(labels: Mapping[str, frozenset[str]], shares: Mapping[Split, float]) -> Mapping[str, Split]:
    """Assign pictures to splits.

    Args:
        labels: the labels of each picture, by its SHA-256 in hexadecimal.
        shares: the splits in the order of their intervals, with the lengths of these, which add up to 1.
    """
    splits = {sha256: _interval(place(sha256), shares) for sha256 in sorted(labels)}
    members: dict[str, list[str]] = defaultdict(list)
    for sha256 in splits:
        for label in labels[sha256]:
            members[label].append(sha256)
    counts = Counter((label, splits[sha256]) for label, those in members.items() for sha256 in those)
    for label in sorted(members, key=lambda label: (len(members[label]), label)):
        for wanted in _FIRST:
            is_missing = wanted in shares and counts[label, wanted] == 0
            lent = _find_lender(wanted, members[label], labels, splits, counts) if is_missing else None
            if lent is not None:
                counts.subtract((own, splits[lent]) for own in labels[lent])
                counts.update((own, wanted) for own in labels[lent])
                splits[lent] = wanted
    return splits


def place(sha256: str) -> float:
    """Return the place of a picture in [0, 1), evenly spread whatever the pictures are."""
    digest = hashlib.sha256(f"edgetl-split:{sha256}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _interval(place: float, shares: Mapping[Split, float]) -> Split:
    ends = zip(shares, accumulate(shares.values()), strict=True)
    return next((split for split, end in ends if place < end), list(shares)[-1])


def _find_lender(
    wanted: Split,
    members: list[str],
    labels: Mapping[str, frozenset[str]],
    splits: Mapping[str, Split],
    counts: Counter[tuple[str, Split]],
) -> str | None:
    """Find the first picture that `wanted` needs more, or whose classes keep another where it is."""
    for sha256 in members:
        source = splits[sha256]
        is_needed_less = _FIRST.index(source) > _FIRST.index(wanted)
        if is_needed_less or all(counts[label, source] > 1 for label in labels[sha256]):
            return sha256
    return None
