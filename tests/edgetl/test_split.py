"""Splits by hash: adding pictures moves no old one, copies stay together, small classes are served."""

import hashlib
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl.split import place, split_by_hash
from edgetl_runtime.pictures import Split

THREE: Mapping[Split, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
TWO: Mapping[Split, float] = {"train": 0.85, "val": 0.15}


def hashes(count: int, salt: str = "") -> list[str]:
    return [hashlib.sha256(f"{salt}{number}".encode()).hexdigest() for number in range(count)]


def of_class(label: str, pictures: list[str]) -> dict[str, frozenset[str]]:
    return dict.fromkeys(pictures, frozenset({label}))


def interval(sha256: str) -> Split:
    here = place(sha256)
    return "train" if here < 0.7 else "val" if here < 0.85 else "test"


labelled = st.dictionaries(
    st.binary(min_size=4, max_size=4).map(lambda data: hashlib.sha256(data).hexdigest()),
    st.sampled_from("ab").map(lambda label: frozenset({label})),
    max_size=80,
)


@given(old=labelled, new=labelled)
def test_adding_pictures_moves_none_of_a_class_that_was_in_every_interval(
    old: dict[str, frozenset[str]], new: dict[str, frozenset[str]]
) -> None:
    before, after = split_by_hash(old, THREE), split_by_hash(new | old, THREE)
    for label in "ab":
        pictures = [sha256 for sha256, labels in old.items() if label in labels]
        if {interval(sha256) for sha256 in pictures} == set(THREE):
            for sha256 in pictures:
                assert before[sha256] == after[sha256] == interval(sha256)


@given(labelled)
def test_a_class_of_three_is_in_every_split_and_a_class_of_two_in_train_and_test(
    labels: dict[str, frozenset[str]],
) -> None:
    splits = split_by_hash(labels, THREE)
    for label in "ab":
        pictures = [sha256 for sha256, own in labels.items() if label in own]
        found = {splits[sha256] for sha256 in pictures}
        assert found == {0: set(), 1: {"train"}, 2: {"train", "test"}}.get(len(pictures), set(THREE))


@given(
    st.dictionaries(
        st.integers().map(lambda number: hashlib.sha256(str(number).encode()).hexdigest()),
        st.frozensets(st.sampled_from("abcd")),
        max_size=60,
    )
)
def test_with_several_labels_every_class_is_in_train(labels: dict[str, frozenset[str]]) -> None:
    splits = split_by_hash(labels, THREE)
    learned = {label for sha256, own in labels.items() if splits[sha256] == "train" for label in own}
    assert learned == {label for own in labels.values() for label in own}


def test_the_order_of_the_pictures_does_not_matter() -> None:
    labels = of_class("a", hashes(3)) | of_class("b", hashes(2, "b"))
    assert split_by_hash(labels, THREE) == split_by_hash(dict(reversed(labels.items())), THREE)


@pytest.mark.parametrize("shares", [THREE, TWO])
def test_the_shares_of_many_pictures_are_as_wanted(shares: Mapping[Split, float]) -> None:
    counts = Counter(split_by_hash(of_class("a", hashes(20_000)), shares).values())
    for split, share in shares.items():
        assert counts[split] / 20_000 == pytest.approx(share, abs=0.01)  # four standard deviations


def test_places_are_the_same_on_every_machine() -> None:
    assert place("0" * 64) == 0.8474521780310909
    assert all(0 <= place(sha256) < 1 for sha256 in hashes(100))
