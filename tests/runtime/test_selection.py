from pathlib import Path

import pytest

from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Index, Picture, Unreadable
from edgetl_runtime.selection import select


def tiny_index(*rows, task="single_label"):
    """Rows are (name, one hex digit that stands for the bytes, labels, split)."""
    pictures = tuple(
        Picture(Path("data", name), digit * 64, tuple(labels.split()), split)
        for name, digit, labels, split in rows
    )
    classes = tuple(sorted({label for picture in pictures for label in picture.labels}))
    return Index(Path("data"), classes, task, pictures)


def names(pictures):
    return [picture.path.name for picture in pictures]


SPLIT = tiny_index(
    ("a", "a", "cat", "test"),
    ("b", "b", "dog", "test"),
    ("c", "c", "cat", "train"),
    ("d", "d", "dog", "train"),
)


def test_only_the_pictures_of_the_split_are_chosen():
    assert names(select(SPLIT, "test").pictures) == ["a", "b"]
    assert names(select(SPLIT, "train").pictures) == ["c", "d"]
    assert select(SPLIT, "train").split == "train"


def test_all_and_a_dataset_without_splits_are_used_whole():
    assert names(select(SPLIT, "all").pictures) == ["a", "b", "c", "d"]
    unsplit = select(tiny_index(("a", "a", "cat", None), ("b", "b", "dog", None)), "test")
    assert (names(unsplit.pictures), unsplit.split) == (["a", "b"], None)


def test_a_split_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"no split 'val'; it has test, train\. Choose one, or 'all'"):
        select(SPLIT, "val")
    with pytest.raises(InputError, match="split must be one of train, val, test, all, got 'holdout'"):
        select(SPLIT, "holdout")


def test_a_limit_takes_the_smallest_hashes_so_that_classes_are_mixed_and_order_is_kept():
    index = tiny_index(*((name, digit, "cat", None) for name, digit in zip("pqrs", "9371", strict=True)))
    assert names(select(index, "all", limit=2).pictures) == ["q", "s"]
    assert names(select(index, "all", limit=9).pictures) == ["p", "q", "r", "s"]
    with pytest.raises(InputError, match="limit must be at least 1 picture, got 0"):
        select(index, "all", limit=0)


def test_a_copy_is_left_out_with_the_name_of_the_one_that_is_kept():
    selection = select(tiny_index(("a", "a", "cat", None), ("b", "a", "cat", None)), "all")
    assert names(selection.pictures) == ["a"]
    assert selection.copies == (Unreadable(Path("data/b"), "has the same bytes as 'a'"),)
    assert selection.conflicts == ()


def test_contradictory_copies_are_all_left_out_with_their_labels():
    index = tiny_index(
        ("a", "a", "cat dog", None), ("b", "a", "cat", None), ("c", "c", "dog", None), task="multi_label"
    )
    selection = select(index, "all")
    assert names(selection.pictures) == ["c"]
    assert selection.copies == ()
    assert selection.conflicts == tuple(
        Unreadable(Path("data", name), "has copies with the labels 'cat', 'cat|dog'") for name in "ab"
    )


def test_a_contradiction_in_another_split_does_not_matter():
    index = tiny_index(("a", "a", "cat", "test"), ("b", "a", "dog", "train"))
    assert names(select(index, "test").pictures) == ["a"]
