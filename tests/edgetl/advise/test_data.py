"""What is told of the pictures: bounded lists with true counts, what leaks first."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetl.advise import data
from edgetl.advise.data import NAMED, NAMED_OF_EACH, Suspicions, suspect
from edgetl.advise.sample import Features
from edgetl_runtime.pictures import Picture


def suspected(folder: Path, splits: str, shades: list[int]) -> Suspicions:
    """Look at pictures of which those of one shade are near duplicates."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
        folder / "a.png"
    )
    split_of = {"t": "train", "v": "val", "e": "test"}
    pictures = [
        Picture(folder / "a.png", f"{number:064x}", ("a",), split_of[split])
        for number, split in enumerate(splits)
    ]
    values = np.eye(max(shades) + 1, dtype=np.float32)[shades]
    train = Features(values, np.ones((len(shades), 1)), several=False)
    return suspect(pictures, values, train, ["a"], has_signal=False)


def test_a_group_of_near_duplicates_names_a_few_and_counts_all(tmp_path: Path) -> None:
    found = suspected(tmp_path, 30 * "t" + 9 * "v" + "e", 40 * [0])
    (near,) = found.near.first
    assert (near.count, near.splits) == (40, {"test": 1, "train": 30, "val": 9})
    assert len(near.pictures) == NAMED_OF_EACH
    assert near.pictures[0].split != near.pictures[1].split
    assert (found.near.count, found.alike, found.across, found.looked_at) == (1, 40, 40, 40)


def test_no_more_than_so_many_groups_are_held_and_those_across_splits_are_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "perceptual_hash", lambda path: np.zeros(32, np.uint8))
    pairs = NAMED + 20
    found = suspected(tmp_path, pairs * "tt" + 5 * "tv", [number // 2 for number in range(2 * pairs + 10)])
    assert (found.near.count, found.alike, found.across) == (pairs + 5, 2 * pairs + 10, 10)
    assert len(found.near.first) == NAMED
    assert [len(near.splits) for near in found.near.first] == 5 * [2] + (NAMED - 5) * [1]
