"""Datasets: completed splits, targets, and refusals that say what to do."""

import os
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetl.dataset import Dataset, check_names, load_dataset, split_dataset, write_csv
from edgetl.split import place
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.pictures import Index, Picture, Split, Task


def picture(number: int, *labels: str, split: Split | None = None) -> Picture:
    return Picture(Path(f"{number}.png"), f"{number:064x}", labels, split)


def pictures(first: int, count: int, *labels: str, split: Split | None = None) -> tuple[Picture, ...]:
    return tuple(picture(number, *labels, split=split) for number in range(first, first + count))


def index_of(*given: Picture, task: Task = "single_label") -> Index:
    classes = sorted({label for one in given for label in one.labels})
    return Index(Path("data"), tuple(classes), task, given)


def write_picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")


def write_folder(root: Path, counts: dict[str, int]) -> Path:
    for salt, (folder, count) in enumerate(counts.items()):
        for number in range(count):
            write_picture(root / folder / f"{number}.png", 1000 * salt + number)
    return root


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.train), len(dataset.val), len(dataset.test)


def test_an_unsplit_folder_is_split_by_hash(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path, {"bad": 40, "good": 40}))
    assert (dataset.classes, dataset.task, dataset.root) == (("bad", "good"), "single_label", tmp_path)
    assert sum(sizes(dataset)) == 80
    for split in ("train", "val", "test"):
        assert {one.labels for one in dataset[split]} == {("bad",), ("good",)}
        assert {one.split for one in dataset[split]} == {split}
    assert all(place(one.sha256) < 0.7 for one in dataset.train)
    assert all(0.7 <= place(one.sha256) < 0.85 for one in dataset.val)


def test_new_pictures_and_new_names_move_no_old_picture(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "old", {"bad": 40, "good": 40})
    before = {one.sha256: one.split for one in _all(load_dataset(root))}
    write_folder(root, {"new": 40})
    for path in sorted((root / "bad").iterdir()):
        path.rename(path.with_name(f"renamed-{path.name}"))
    after = {one.sha256: one.split for one in _all(load_dataset(root))}
    assert before.items() <= after.items()


def _all(dataset: Dataset) -> tuple[Picture, ...]:
    return (*dataset.train, *dataset.val, *dataset.test)


def test_copies_of_a_picture_stay_in_one_split() -> None:
    given = [*pictures(0, 30, "a"), *pictures(100, 30, "b")]
    copies = [replace(one, path=Path(f"copy-{one.path}")) for one in given]
    dataset = split_dataset(index_of(*given, *copies))
    splits = Counter((one.sha256, one.split) for one in _all(dataset))
    assert set(splits.values()) == {2}
    assert dataset.leaks == ()


def test_given_splits_are_kept() -> None:
    given = [
        *(picture(number, label, split="train") for number, label in enumerate("abab")),
        *(picture(10 + number, label, split="val") for number, label in enumerate("ab")),
        *(picture(20 + number, label, split="test") for number, label in enumerate("ab")),
    ]
    random.Random(0).shuffle(given)
    dataset = split_dataset(index_of(*given))
    assert sizes(dataset) == (4, 2, 2)
    assert set(_all(dataset)) == set(given)


def test_a_picture_in_two_given_splits_is_reported() -> None:
    given = [
        *(picture(number, label, split="train") for number, label in enumerate("abab")),
        *(picture(10 + number, label, split="val") for number, label in enumerate("ab")),
        picture(0, "a", split="test"),
    ]
    dataset = split_dataset(index_of(*given))
    (leak,) = dataset.leaks
    assert leak == (f"{0:064x}", ("test", "train"))
    first, last = given[0].path, given[-1].path
    assert dataset.flaws()["leakage"] == [f"{first} = {last}, in test and train"]
    assert f"leakage: {first} = {last}, in test and train" in dataset.notes()


def test_contradicting_labels_are_reported() -> None:
    given = [*pictures(0, 30, "a"), *pictures(100, 30, "b"), picture(0, "b")]
    dataset = split_dataset(index_of(*given))
    (conflict,) = dataset.conflicts
    assert conflict == (f"{0:064x}", (("a",), ("b",)))
    assert dataset.flaws()["contradiction"] == [f"{given[0].path} = {given[-1].path}, as a and b"]


def test_five_flaws_are_told_and_the_rest_counted() -> None:
    given = [*pictures(0, 30, "a"), *pictures(100, 30, "b")]
    dataset = split_dataset(index_of(*given, *(replace(one, labels=("b",)) for one in given[:7])))
    told = [line for line in dataset.notes() if line.startswith("contradiction")]
    assert len(told) == 6
    assert told[-1] == "contradiction: 2 more; the run's run.json names all"
    assert len(dataset.flaws()["contradiction"]) == 7


def test_other_splits_are_other_pictures_to_learn_from() -> None:
    """A checkpoint of the one must not be taken for the other."""
    given = (*pictures(0, 6, "a", split="train"), *pictures(6, 6, "b", split="train"))
    judging = pictures(20, 4, "a", split="val"), pictures(30, 4, "a", split="test")
    one = split_dataset(index_of(*given, *judging[0], *judging[1]))
    other = split_dataset(
        index_of(
            *given,
            *(replace(p, split="test") for p in judging[0]),
            *(replace(p, split="val") for p in judging[1]),
        )
    )
    assert one.fingerprint == other.fingerprint
    assert one.split_fingerprint != other.split_fingerprint
    assert replace(one, train=one.train[::-1]).split_fingerprint != one.split_fingerprint
    moved = replace(one, train=tuple(replace(p, path=Path("elsewhere.png")) for p in one.train))
    assert moved.split_fingerprint == one.split_fingerprint


def test_without_val_a_share_of_train_becomes_val() -> None:
    given = [
        *pictures(0, 100, "a", split="train"),
        *pictures(100, 100, "b", split="train"),
        *pictures(200, 10, "a", split="test"),
    ]
    dataset = split_dataset(index_of(*given))
    assert set(dataset.test) == set(given[200:])
    assert all(place(one.sha256) >= 0.85 for one in dataset.val)
    assert 15 <= len(dataset.val) <= 45
    assert sum(sizes(dataset)) == 210


def test_without_test_half_of_val_becomes_test() -> None:
    given = [
        *pictures(0, 10, "a", split="train"),
        *pictures(10, 10, "b", split="train"),
        *pictures(100, 100, "a", split="val"),
    ]
    dataset = split_dataset(index_of(*given))
    assert set(dataset.train) == set(given[:20])
    assert all(place(one.sha256) < 0.5 for one in dataset.val)
    assert all(place(one.sha256) >= 0.5 for one in dataset.test)


def test_a_folder_with_train_alone_is_split_like_one_without_splits(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"train/bad": 30, "train/good": 30})
    dataset = load_dataset(root)
    assert min(sizes(dataset)) > 0
    assert all(place(one.sha256) < 0.7 for one in dataset.train)


def test_targets_of_single_labels_are_class_numbers() -> None:
    dataset = split_dataset(index_of(*pictures(0, 30, "a"), *pictures(100, 30, "b")))
    targets = dataset.targets([picture(0, "b"), picture(1, "a"), picture(2, "b")])
    assert targets.dtype == np.int64
    assert targets.tolist() == [1, 0, 1]


def test_targets_of_several_labels_are_zeros_and_ones() -> None:
    given = [*pictures(0, 30, "a", "c"), *pictures(100, 30, "b"), *pictures(200, 30)]
    dataset = split_dataset(index_of(*given, task="multi_label"))
    targets = dataset.targets([given[0], given[30], given[60]])
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert dataset.targets([]).shape == (0, 3)


def test_one_class_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"data has the classes \['a'\]: nothing to tell apart"):
        split_dataset(index_of(*pictures(0, 30, "a")))


def test_several_labels_may_have_one_class() -> None:
    given = [*pictures(0, 30, "a"), *pictures(100, 30)]
    assert split_dataset(index_of(*given, task="multi_label")).classes == ("a",)


@pytest.mark.parametrize("copies", [1, 3])
def test_a_class_with_a_single_picture_is_refused_however_often_it_is_copied(copies: int) -> None:
    lone = [replace(picture(1000, "b"), path=Path(f"{number}.png")) for number in range(copies)]
    with pytest.raises(DatasetError, match=r"The classes \['b'\] have one picture each.*Add pictures"):
        split_dataset(index_of(*pictures(0, 30, "a"), *lone))


def test_too_few_pictures_for_three_splits_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"data has 4 pictures, and none of them is in val\. Add pictures"):
        split_dataset(index_of(*pictures(0, 2, "a"), *pictures(2, 2, "b")))


def test_splits_without_train_are_refused() -> None:
    given = [*pictures(0, 9, "a", split="val"), *pictures(9, 9, "b", split="test")]
    with pytest.raises(DatasetError, match=r"has \['test', 'val'\] and no train"):
        split_dataset(index_of(*given))


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_class_that_is_not_in_train_is_refused(task: Task) -> None:
    given = [
        *pictures(0, 9, "a", split="train"),
        *pictures(9, 9, "b", split="val"),
        *pictures(18, 9, "a", split="test"),
    ]
    with pytest.raises(DatasetError, match=r"no picture of \['b'\] in train"):
        split_dataset(index_of(*given, task=task))


def test_unreadable_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"bad": 30, "good": 30})
    (root / "bad" / "empty.png").touch()
    dataset = load_dataset(root)
    assert [one.reason for one in dataset.unreadable] == ["is empty"]
    with pytest.raises(DatasetError, match="1 of 61 pictures are unreadable"):
        load_dataset(root, max_unreadable=0.0)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are Unicode")
def test_an_unreadable_file_whose_name_is_no_utf_8_is_told_in_text(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"bad": 30, "good": 30})
    (root / "bad" / os.fsdecode(b"caf\xe9.jpg")).touch()
    dataset = load_dataset(root)
    check_names(dataset)
    assert dataset.flaws()["left out"] == [rf"{root}/bad/caf\udce9.jpg is empty"]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    load_dataset(write_folder(tmp_path, {"bad": 5, "good": 5}), progress=lambda *now: told.append(now))
    assert told == [(done, 10) for done in range(1, 11)]


def test_a_written_csv_is_the_same_dataset(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "a, b", {"bad": 20, "good, cheap": 20}))
    write_csv(dataset, tmp_path / "split.csv")
    again = load_dataset(tmp_path / "split.csv")
    assert again.fingerprint == dataset.fingerprint
    assert again.classes == dataset.classes
    assert sizes(again) == sizes(dataset)
    assert {one.sha256 for one in again.test} == {one.sha256 for one in dataset.test}


def test_a_written_csv_keeps_several_labels(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"files": 30})
    names = ["a|b", "b", ""]
    rows = [f"files/{number}.png,{names[number % 3]}" for number in range(30)]
    (root / "all.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    dataset = load_dataset(root / "all.csv")
    write_csv(dataset, root / "split.csv")
    again = load_dataset(root / "split.csv")
    assert (again.task, again.classes, again.fingerprint) == ("multi_label", ("a", "b"), dataset.fingerprint)


def test_a_written_csv_tells_that_several_labels_were_allowed(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"files": 30})
    rows = [f"files/{number}.png,{'ab'[number % 2]}" for number in range(30)]
    (root / "all.csv").write_text("\n".join(["path,label", *rows, "missing.png,a|b"]), encoding="utf-8")
    dataset = load_dataset(root / "all.csv")
    write_csv(dataset, root / "split.csv")
    again = load_dataset(root / "split.csv")
    assert (dataset.task, again.task) == ("multi_label", "multi_label")
    assert again.split_fingerprint == dataset.split_fingerprint


def test_links_to_one_file_stay_pictures_of_their_own(tmp_path: Path) -> None:
    store, data = write_folder(tmp_path / "store", {"all": 40}) / "all", tmp_path / "data"
    for number in range(44):  # Four of them are linked twice, as what removes duplicates does.
        path = data / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(store / f"{number % 40}.png")
    dataset = load_dataset(data)
    write_csv(dataset, tmp_path / "split.csv")
    again = load_dataset(tmp_path / "split.csv")
    assert again.split_fingerprint == dataset.split_fingerprint
    assert {one.path for one in _all(again)} == {one.path for one in _all(dataset)}


def test_a_written_csv_names_pictures_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "data", {"a": 20, "b": 20})
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    dataset = load_dataset(Path("../data"))
    write_csv(dataset, tmp_path / "split.csv")
    monkeypatch.chdir(tmp_path / "data")
    assert load_dataset(tmp_path / "split.csv").split_fingerprint == dataset.split_fingerprint


def test_a_carriage_return_in_a_name_survives_the_csv(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "data", {"a\rb": 20, "c": 20}))
    write_csv(dataset, tmp_path / "split.csv")
    again = load_dataset(tmp_path / "split.csv")
    assert (again.classes, again.fingerprint) == (("a\rb", "c"), dataset.fingerprint)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are Unicode")
def test_a_folder_above_whose_name_is_no_utf_8_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / os.fsdecode(b"caf\xe9")
    write_folder(home / "data", {"a": 20, "b": 20})
    monkeypatch.chdir(home)
    with pytest.raises(DatasetError, match=r"cannot hold the path '.*caf\\udce9/data/.*no valid UTF-8"):
        check_names(load_dataset(Path("data")))


def test_a_path_that_a_csv_would_cut_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a": 20, "b": 20})
    (root / "a" / "0.png").rename(root / "a" / "scan ")
    with pytest.raises(DatasetError, match=r"cannot hold the path '.*a/scan ': a space at its end\. Rename"):
        check_names(load_dataset(root))


@pytest.mark.parametrize("name", ["a|b", " a", "a\udce9"])
def test_a_class_that_a_csv_cannot_hold_is_refused(name: str, tmp_path: Path) -> None:
    dataset = split_dataset(index_of(*pictures(0, 30, name), *pictures(100, 30, "b")))
    with pytest.raises(DatasetError, match=r"The dataset\.csv of a run cannot hold the class"):
        write_csv(dataset, tmp_path / "split.csv")


def test_what_was_chosen_gets_the_first_picture_of_each_class_that_it_lacks() -> None:
    train = [
        *pictures(0, 3, "a", split="train"),
        *pictures(10, 3, "b", split="train"),
        *pictures(20, 2, "c", "d", split="train"),
    ]
    dataset = split_dataset(
        index_of(*train, picture(30, "a", split="val"), picture(31, "a", split="test"), task="multi_label")
    )
    found = dataset.with_every_class(dataset.train[1:3])
    assert [one.path.stem for one in found] == ["1", "2", "10", "20"]
    assert dataset.with_every_class(dataset.train) == dataset.train
