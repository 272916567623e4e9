"""What the pictures are and what is wrong with them, before any network has seen them, and after one has."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgetl.advise.duplicates import Alike, find_near_duplicates, perceptual_hash
from edgetl.advise.mislabels import FEWEST_PER_CLASS, find_mislabels
from edgetl.advise.sample import Features, choose
from edgetl.dataset import Dataset
from edgetl_exporters.calibration import balanced
from edgetl_runtime.decode import open_picture
from edgetl_runtime.pictures import Picture, Unreadable

# Their headers are read for the resolution.
_MEASURED = 1_000
# So many of what is found, and pictures of each group: what advice holds and writes stays small.
NAMED, NAMED_OF_EACH = 100, 10

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listed(Generic[_T]):
    """The first of what was found, and how many there are in all."""

    count: int
    first: tuple[_T, ...]


@dataclass(frozen=True, slots=True)
class Copies:
    """Pictures of the same bytes.

    pictures: at most `NAMED_OF_EACH`, of all splits and sets of labels. count: how many there are in all.
    """

    pictures: tuple[Picture, ...]
    count: int


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of the pictures from their files and labels.

    splits: pictures of each. per_class: training pictures of each class. imbalance: the largest class over
    the smallest. sides: the 5 %, 50 % and 95 % quantiles of the shorter side, in pixels. unreadable: what was
    left out. copies: files whose bytes another file has too. leaks: contents in several of the user's own
    splits. conflicts: contents with contradicting labels.
    """

    splits: Mapping[str, int]
    per_class: Mapping[str, int]
    imbalance: float
    sides: tuple[float, float, float]
    unreadable: Listed[Unreadable]
    copies: int
    leaks: Listed[Copies]
    conflicts: Listed[Copies]

    @property
    def smallest(self) -> int:
        """Return the number of training pictures of the smallest class."""
        return min(self.per_class.values())


@dataclass(frozen=True, slots=True)
class Near:
    """A group of pictures, each nearly the same as another of them.

    pictures: at most `NAMED_OF_EACH`, the nearest two first, of different splits where two such are near.
    splits: how many of all lie in each. bits, cosine: between the first two, see `duplicates.Alike`.
    """

    pictures: tuple[Picture, ...]
    splits: Mapping[str, int]
    bits: int
    cosine: float

    @property
    def count(self) -> int:
        """Return how many pictures the group has."""
        return sum(self.splits.values())


@dataclass(frozen=True, slots=True)
class Doubt:
    """A training picture whose label is probably wrong; margin in (0, 1], see `mislabels`."""

    path: Path
    given: str
    suggested: str
    margin: float


@dataclass(frozen=True, slots=True)
class Suspicions:
    """What features say about the pictures.

    near: groups, those across splits first. alike: how many pictures they have in all. across: how many of
    these are near to one of another split. looked_at: how many pictures were compared. doubted_among: how
    many training labels were checked. skipped: why the labels were not checked, or the empty text.
    """

    near: Listed[Near]
    alike: int
    across: int
    doubts: tuple[Doubt, ...]
    looked_at: int
    doubted_among: int
    skipped: str


def data_facts(dataset: Dataset) -> DataFacts:
    """Count and measure."""
    everything = (*dataset.train, *dataset.val, *dataset.test)
    per_class = Counter(label for picture in dataset.train for label in picture.labels)
    low, middle, high = np.quantile([_side(one) for one in choose(everything, _MEASURED)], [0.05, 0.5, 0.95])
    return DataFacts(
        splits={"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
        per_class={name: per_class[name] for name in dataset.classes},
        imbalance=max(per_class.values()) / min(per_class.values()),
        sides=(float(low), float(middle), float(high)),
        unreadable=Listed(len(dataset.unreadable), dataset.unreadable[:NAMED]),
        copies=len(everything) - len({picture.sha256 for picture in everything}),
        leaks=_copies([one.sha256 for one in dataset.leaks], everything),
        conflicts=_copies([one.sha256 for one in dataset.conflicts], everything),
    )


def _copies(contents: Sequence[str], pictures: Sequence[Picture]) -> Listed[Copies]:
    """Find the pictures of each content."""
    found: dict[str, list[Picture]] = {sha256: [] for sha256 in contents[:NAMED]}
    for picture in pictures:
        if picture.sha256 in found:
            found[picture.sha256].append(picture)
    return Listed(len(contents), tuple(Copies(_various(same), len(same)) for same in found.values()))


def _various(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Take a few, of each split and set of labels in turns."""
    groups = [(one.split, one.labels) for one in pictures]
    places = balanced([str(one.path) for one in pictures], groups, NAMED_OF_EACH)
    return tuple(pictures[place] for place in places)


def suspect(
    pictures: Sequence[Picture],
    values: NDArray[Any],
    train: Features,
    names: Sequence[str],
    *,
    has_signal: bool,
) -> Suspicions:
    """Look for near duplicates among all these pictures and for wrong labels among the training ones.

    Args:
        pictures: the training pictures of `train` first, then others. values: features of all, (n, width).
        names: of the classes. has_signal: the features tell classes apart; else no label can be checked.
    """
    found = find_near_duplicates(
        values,
        [perceptual_hash(one.path) for one in pictures],
        [one.sha256 for one in pictures],
        [one.split for one in pictures],
    )
    skipped = _why_labels_are_not_checked(train, has_signal)
    doubts = [] if skipped else find_mislabels(train.values, train.labels)
    return Suspicions(
        near=Listed(len(found), tuple(_near(one, pictures) for one in found[:NAMED])),
        alike=sum(len(one.rows) for one in found),
        across=sum(one.across for one in found),
        doubts=tuple(
            Doubt(pictures[one.row].path, names[one.given], names[one.suggested], one.margin)
            for one in doubts
        ),
        looked_at=len(pictures),
        doubted_among=0 if skipped else len(train.values),
        skipped=skipped,
    )


def _near(one: Alike, pictures: Sequence[Picture]) -> Near:
    splits = Counter(str(pictures[row].split) for row in one.rows)
    named = tuple(pictures[row] for row in one.rows[:NAMED_OF_EACH])
    return Near(named, dict(sorted(splits.items())), one.bits, one.cosine)


def _why_labels_are_not_checked(train: Features, has_signal: bool) -> str:
    if not has_signal:
        return "the features tell no class from another"
    if train.several:
        return "pictures may have several labels"
    if (np.sort(train.targets.sum(axis=0))[-2:] < FEWEST_PER_CLASS).any():
        return f"fewer than two classes have {FEWEST_PER_CLASS} pictures"
    return ""


def _side(picture: Picture) -> int:
    return min(open_picture(picture.path).size)
