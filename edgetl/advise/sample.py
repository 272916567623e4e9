"""The pictures that advice looks at: few enough for a minute, the same at every call, no class left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.dataset import Dataset
from edgetl_exporters.calibration import balanced
from edgetl_runtime.pictures import Picture

# Training pictures of a trial or a round of the race; twice as many of validation.
TRIAL_PICTURES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of labelled pictures.

    values: (n, width) float32. targets: (n, classes), zeros and ones. several: a picture may have any number
    of labels.
    """

    values: NDArray[np.float32]
    targets: NDArray[np.float64]
    several: bool

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the numbers of the classes, (n,), of single-label pictures."""
        labels: NDArray[np.int64] = self.targets.argmax(axis=1)
        return labels


def choose(pictures: Sequence[Picture], count: int) -> tuple[Picture, ...]:
    """Choose at most `count` pictures, the sets of labels in turns, each content once of each split."""
    once = list({(picture.sha256, picture.split): picture for picture in pictures}.values())
    places = balanced([one.sha256 for one in once], [one.labels for one in once], count)
    return tuple(once[place] for place in places)


def one_hot(dataset: Dataset, pictures: Sequence[Picture]) -> NDArray[np.float64]:
    """Return zeros and ones, (n, classes), for either task."""
    targets = dataset.targets(pictures)
    if dataset.task == "multi_label":
        return targets.astype(np.float64)
    hot: NDArray[np.float64] = np.eye(len(dataset.classes))[targets]
    return hot


def part(dataset: Dataset, train: int, val: int) -> Dataset:
    """Return the dataset with about so many training and validation pictures, for short trials.

    Training pictures are more where it takes more to have one of each class.
    """
    few = dataset.with_every_class(choose(dataset.train, train))
    return replace(dataset, train=few, val=choose(dataset.val, val))


def as_array(rows: Any) -> NDArray[np.float32]:  # edgetl.cache.Rows
    """Read all rows into memory as float32."""
    array: NDArray[np.float32] = rows.take(np.arange(len(rows))).astype(np.float32)
    return array
