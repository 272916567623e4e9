"""What is told of the pictures: bounded lists with true counts, what leaks first."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from edgetl_factories import colour_picture
from PIL import Image

from edgetl.advise import data
from edgetl.advise.data import NAMED, NAMED_OF_EACH, Copies, Listed, Suspicions, data_facts, suspect
from edgetl.advise.sample import Features
from edgetl.dataset import load_dataset
from edgetl_runtime.pictures import Picture, Unreadable


def flawed_folder(root: Path) -> Path:
    """Write twelve pictures and faults: one that is empty, a copy in test, a copy with another label."""
    for number, split in enumerate(["train", "val", "test"] * 2):
        for colour in ("red", "blue"):
            colour_picture(root / split / colour / f"{number}.png", colour, 10 * number + len(colour))
    (root / "train/red/empty.png").write_bytes(b"")
    shutil.copy(root / "train/red/0.png", root / "test/red/copy.png")
    shutil.copy(root / "val/blue/1.png", root / "val/red/relabelled.png")
    return root


def names(copies: Copies) -> list[tuple[str, str]]:
    return [(str(one.split), "/".join(one.path.parts[-2:])) for one in copies.pictures]


def test_faults_are_named_where_they_lie(tmp_path: Path) -> None:
    found = data_facts(load_dataset(flawed_folder(tmp_path), max_unreadable=0.1))
    assert found.unreadable == Listed(1, (Unreadable(tmp_path / "train/red/empty.png", "is empty"),))
    assert found.copies == 2
    ((leak,), (conflict,)) = (found.leaks.first, found.conflicts.first)
    assert names(leak) == [("train", "red/0.png"), ("test", "red/copy.png")]
    assert names(conflict) == [("val", "blue/1.png"), ("val", "red/relabelled.png")]
    assert [one.labels for one in conflict.pictures] == [("blue",), ("red",)]


def test_of_many_copies_those_of_other_splits_and_labels_are_named() -> None:
    """A thousand in train come before the one in val."""
    rows = [("train", "a")] * 1_000 + [("train", "b"), ("val", "a"), ("test", "c")]
    same = [
        Picture(Path(f"{number:04}.png"), 64 * "0", (label,), split)
        for number, (split, label) in enumerate(rows)
    ]
    (found,) = data._copies([64 * "0"], same).first
    assert found.count == 1_003
    assert len(found.pictures) == NAMED_OF_EACH
    assert {(one.split, one.labels[0]) for one in found.pictures} == set(rows)


def test_lists_are_bounded_and_counts_are_true() -> None:
    contents = [f"{number:064x}" for number in range(NAMED + 50)]
    pictures = [Picture(Path("a.png"), sha256, ("a",), "train") for sha256 in contents]
    found = data._copies(contents, pictures)
    assert (found.count, len(found.first)) == (NAMED + 50, NAMED)


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
