"""Roles: each validation picture chooses or verifies, never both."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgetl.roles import halves
from edgetl_runtime.pictures import Picture

SOME = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["a", "b", "c"])), max_size=80)


def picture(number: int, *labels: str, copy: int = 0) -> Picture:
    return Picture(Path(f"{number}-{copy}.png"), f"{number:064x}", labels, "val")


def numbers(pictures: tuple[Picture, ...]) -> list[int]:
    return [int(one.sha256, 16) for one in pictures]


def test_every_other_picture_of_a_class_chooses_from_the_first_on() -> None:
    pictures = [*(picture(n, "a") for n in (5, 1, 4, 2, 3)), *(picture(n, "b") for n in (11, 10))]
    choose, verify = halves(pictures)
    assert numbers(choose) == [5, 1, 3, 10]
    assert numbers(verify) == [4, 2, 11]


def test_pictures_keep_the_order_in_which_they_came() -> None:
    pictures = [picture(n, "a") for n in (5, 1, 4, 2, 3)]
    choose, verify = halves(pictures)
    assert sorted([*choose, *verify], key=pictures.index) == pictures
    assert list(choose) == [one for one in pictures if one in choose]


def test_classes_with_a_single_picture_are_halved_together() -> None:
    choose, verify = halves([picture(n, label) for n, label in enumerate("abcde")])
    assert (numbers(choose), numbers(verify)) == ([0, 2, 4], [1, 3])


def test_sets_of_labels_that_all_differ_still_leave_pictures_to_verify() -> None:
    sets = (("a",), ("a", "b"), ("b",), ())
    choose, verify = halves([picture(n, *labels) for n, labels in enumerate(sets)])
    assert (len(choose), len(verify)) == (2, 2)


def test_a_single_picture_chooses_and_none_verifies() -> None:
    assert halves([picture(1, "a")]) == ((picture(1, "a"),), ())
    assert halves([]) == ((), ())


def test_copies_of_a_picture_stay_together() -> None:
    pictures = [picture(n, "a", copy=copy) for n in range(4) for copy in range(2)]
    choose, verify = halves(pictures)
    assert Counter(numbers(choose)) == {0: 2, 2: 2}
    assert Counter(numbers(verify)) == {1: 2, 3: 2}


@given(SOME)
def test_no_picture_has_two_roles_and_none_is_lost(some: list[tuple[int, str]]) -> None:
    pictures = [picture(number, label, copy=n) for n, (number, label) in enumerate(some)]
    choose, verify = halves(pictures)
    assert not set(numbers(choose)) & set(numbers(verify))
    assert sorted([*choose, *verify], key=str) == sorted(pictures, key=str)


@given(SOME)
def test_the_order_of_the_pictures_changes_no_role(some: list[tuple[int, str]]) -> None:
    pictures = [picture(number, label) for number, label in dict(some).items()]
    choose, _ = halves(pictures)
    backwards, _ = halves(pictures[::-1])
    assert set(choose) == set(backwards)


@given(st.dictionaries(st.integers(0, 200), st.sampled_from(["a", "b", "c"]), min_size=2))
def test_a_class_with_two_pictures_has_both_roles(labels: dict[int, str]) -> None:
    choose, verify = halves([picture(number, label) for number, label in labels.items()])
    for label, count in Counter(labels.values()).items():
        chosen = sum(one.labels == (label,) for one in choose)
        if count > 1:
            assert chosen - (count - chosen) in (0, 1)
    assert verify
