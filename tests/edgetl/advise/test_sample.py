"""What advice looks at: few pictures, and each class among them."""

from pathlib import Path

from edgetl.advise.sample import choose, part
from edgetl.dataset import Dataset, split_dataset
from edgetl_runtime.pictures import Index, Picture, Split, Task


def pictures(split: Split, labels: list[str]) -> list[Picture]:
    """Make a picture of each set of labels, joined by `|`."""
    first = {"train": 0, "val": 10_000, "test": 20_000}[split]
    return [
        Picture(Path(f"{number}.png"), f"{number:064x}", tuple(sorted(names.split("|"))), split)
        for number, names in enumerate(labels, first)
    ]


def dataset_of(task: Task, labels: list[str]) -> Dataset:
    found = [one for split in ("train", "val", "test") for one in pictures(split, labels)]
    classes = sorted({name for one in found for name in one.labels})
    return split_dataset(Index(Path("data"), tuple(classes), task, tuple(found)))


def test_more_classes_than_pictures_are_asked_for_all_stay_in_a_part() -> None:
    names = [f"class {number:03}" for number in range(250)]
    few = part(dataset_of("single_label", 3 * names), 200, 400)
    assert sorted(one.labels[0] for one in few.train) == names  # One of each, none twice.
    assert len(few.val) == 400


def test_a_label_that_comes_with_many_others_stays_in_a_part() -> None:
    combinations = [f"{one}|{other}" for one in "abcdefgh" for other in "ijklmnop"]
    dataset = dataset_of("multi_label", [*combinations, "a|rare|seldom"])
    few = part(dataset, 10, 10)
    assert {label for one in few.train for label in one.labels} == set(dataset.classes)
    assert 10 <= len(few.train) <= 18


def test_a_part_with_each_class_has_no_more_pictures_than_were_asked_for() -> None:
    few = part(dataset_of("single_label", 30 * ["a", "b", "c"]), 12, 9)
    assert (len(few.train), len(few.val)) == (12, 9)
    assert {one.labels for one in few.train} == {("a",), ("b",), ("c",)}


def test_copies_are_chosen_once_of_each_split() -> None:
    given = [
        Picture(Path(f"{split}/{number}.png"), 64 * "0", ("a",), split)
        for split in ("val", "test")
        for number in range(3)
    ]
    assert [one.split for one in choose(given, 10)] == ["val", "test"]
