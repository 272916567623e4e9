"""An index is what lies on disk: hashed, checked, in a fixed order, with its faults in plain sight."""

import hashlib
import threading
import time
from pathlib import Path

import pytest
from runtime_factories import tiny_pixels, write_folders, write_picture

from edgetl_runtime import pictures
from edgetl_runtime.errors import DatasetError, InputError
from edgetl_runtime.pictures import Conflict, Index, Leak, Picture, Unreadable, index

SHA = "0" * 64


def write_csv(root: Path, *rows: str, header: str = "path,label") -> Path:
    path = root / "data.csv"
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    return path


def test_an_index_knows_each_picture_by_the_hash_of_its_bytes(tmp_path):
    write_folders(tmp_path, {"dog": 1, "cat": 2})
    found = index(tmp_path)
    assert (found.root, found.classes, found.task, found.unreadable) == (
        tmp_path,
        ("cat", "dog"),
        "single_label",
        (),
    )
    expected = [tmp_path / name for name in ("cat/0.png", "cat/1.png", "dog/0.png")]
    assert [picture.path for picture in found.pictures] == expected
    assert [picture.sha256 for picture in found.pictures] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in expected
    ]


def test_the_order_is_by_split_then_labels_then_path(tmp_path):
    for number in range(4):
        write_picture(tmp_path / f"{number}.png", number)
    rows = ("3.png,b,train", "2.png,a,train", "1.png,b,test", "0.png,b,train")
    found = index(write_csv(tmp_path, *rows, header="path,label,split"))
    assert [(one.split, one.labels, one.path.name) for one in found.pictures] == [
        ("test", ("b",), "1.png"),
        ("train", ("a",), "2.png"),
        ("train", ("b",), "0.png"),
        ("train", ("b",), "3.png"),
    ]


def test_a_string_is_a_path_too(tmp_path):
    write_folders(tmp_path, {"cat": 1})
    assert index(str(tmp_path)) == index(tmp_path)


# Unreadable pictures.


def spoil(folder: Path, count: int) -> list[Unreadable]:
    """Write bad files, of as many kinds as there are, named so that they sort in this order."""
    whole = write_picture(folder / "whole.jpg", 99, width=200, height=200).read_bytes()
    (folder / "whole.jpg").unlink()
    known = "is not a JPEG, PNG, WEBP, BMP, TIFF, GIF or PPM file, or its header is damaged"
    kinds = [(b"", "is empty"), (whole[:1000], "is truncated"), (b"text", known)]
    spoiled = []
    for number in range(count):
        content, reason = kinds[number % len(kinds)]
        path = folder / f"bad {number}.jpg"
        path.write_bytes(content)
        spoiled.append(Unreadable(path, reason))
    return spoiled


def test_unreadable_pictures_are_listed_with_their_reasons(tmp_path):
    write_folders(tmp_path, {"cat": 3, "dog": 3})
    spoiled = spoil(tmp_path / "cat", 3)
    found = index(tmp_path, max_unreadable=1 / 3)
    assert found.unreadable == tuple(spoiled)
    assert len(found.pictures) == 6


def test_too_many_unreadable_pictures_are_refused_with_the_first_five_and_the_way_out(tmp_path):
    write_folders(tmp_path, {"cat": 3})
    spoiled = spoil(tmp_path / "cat", 7)
    with pytest.raises(DatasetError) as caught:
        index(tmp_path)
    first = "".join(f"  {one.path} {one.reason}\n" for one in spoiled[:5])
    assert str(caught.value) == (
        "7 of 10 pictures are unreadable, more than the fraction 0.05 allowed:\n"
        f"{first}  and 2 more\n"
        "Mend or remove them, or allow more with --max-unreadable."
    )


def test_exactly_the_allowed_fraction_passes(tmp_path):
    write_folders(tmp_path, {"cat": 19})
    spoil(tmp_path / "cat", 1)
    assert len(index(tmp_path, max_unreadable=0.05).unreadable) == 1
    with pytest.raises(DatasetError):
        index(tmp_path, max_unreadable=0.0499)


def test_a_class_that_lost_all_its_pictures_is_refused(tmp_path):
    write_folders(tmp_path, {"cat": 30})
    (tmp_path / "dog").mkdir()
    spoil(tmp_path / "dog", 1)
    with pytest.raises(DatasetError, match=r"The classes \['dog'\] have no readable picture"):
        index(tmp_path)


def test_without_the_check_only_empty_and_missing_files_are_found(tmp_path):
    (tmp_path / "text.jpg").write_bytes(b"text")
    (tmp_path / "empty.jpg").write_bytes(b"")
    path = write_csv(tmp_path, "text.jpg,cat", "empty.jpg,cat", "missing.jpg,cat")
    found = index(path, check=False, max_unreadable=1)
    assert [(one.path.name, one.reason) for one in found.unreadable] == [
        ("empty.jpg", "is empty"),
        ("missing.jpg", "does not exist"),
    ]
    assert [one.path.name for one in found.pictures] == ["text.jpg"]


def test_a_dataset_without_rows_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="names no picture"):
        index(write_csv(tmp_path))


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_the_allowed_fraction_is_a_fraction(tmp_path, fraction):
    with pytest.raises(InputError, match=r"max_unreadable must be a fraction in \[0, 1\], got"):
        index(tmp_path, max_unreadable=fraction)


# Progress and interruption.


def test_progress_counts_every_picture_once_and_in_order(tmp_path):
    write_folders(tmp_path, {"cat": 5})
    seen: list[tuple[int, int]] = []
    index(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_an_interrupt_does_not_wait_for_the_pictures_in_the_queue(tmp_path, monkeypatch):
    examined: list[Path] = []
    threads = threading.active_count()

    def examine_slowly(row, *, check):
        time.sleep(0.005)
        examined.append(row.path)
        return Picture(row.path, SHA, row.labels)

    def interrupt(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "_examine", examine_slowly)
    with pytest.raises(
        KeyboardInterrupt
    ) as caught:  # Holding it, as a debugger would, keeps the frames alive.
        index(write_csv(tmp_path, *(f"{number}.jpg,cat" for number in range(300))), progress=interrupt)
    assert len(examined) < 150
    assert threading.active_count() == threads, caught


# What an index says about its pictures.


def test_the_fingerprint_depends_on_contents_and_labels_alone(tmp_path):
    for root in ("a", "b"):
        write_folders(tmp_path / root, {"cat": 2, "dog": 1})
    (tmp_path / "b/cat/0.png").rename(tmp_path / "b/cat/renamed.png")
    first, second = index(tmp_path / "a"), index(tmp_path / "b")
    assert first.fingerprint == second.fingerprint
    (tmp_path / "b/cat/renamed.png").rename(tmp_path / "b/dog/moved.png")
    assert index(tmp_path / "b").fingerprint != first.fingerprint
    write_picture(tmp_path / "a/cat/0.png", 77)
    assert index(tmp_path / "a").fingerprint != first.fingerprint


def test_the_fingerprint_is_the_documented_hash(tmp_path):
    one = Picture(tmp_path / "x", "1" * 64, ("b",))
    two = Picture(tmp_path / "y", SHA, ("a", "b"))
    text = f'[["{SHA}",["a","b"]],["{"1" * 64}",["b"]]]'
    found = Index(tmp_path, ("a", "b"), "multi_label", (one, two))
    assert found.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_copies_under_different_labels_are_conflicts(tmp_path):
    write_folders(tmp_path, {"cat": 2, "dog": 1})
    copied = (tmp_path / "cat/0.png").read_bytes()
    (tmp_path / "dog/copy.png").write_bytes(copied)
    (tmp_path / "cat/copy.png").write_bytes(copied)
    found = index(tmp_path)
    assert found.conflicts == (Conflict(hashlib.sha256(copied).hexdigest(), (("cat",), ("dog",))),)
    assert found.leaks == ()


def test_copies_in_two_splits_are_leaks(tmp_path):
    write_folders(tmp_path, {"train/cat": 2, "test/cat": 1})
    copied = (tmp_path / "train/cat/0.png").read_bytes()
    (tmp_path / "test/cat/copy.png").write_bytes(copied)
    found = index(tmp_path)
    assert found.leaks == (Leak(hashlib.sha256(copied).hexdigest(), ("test", "train")),)
    assert found.leaks == ((hashlib.sha256(copied).hexdigest(), ("test", "train")),)
    assert found.conflicts == ()


# Nothing half-valid exists.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sha256": "xyz"}, "Picture.sha256 must be 64 hex digits, got 'xyz'."),
        ({"labels": ("b", "a")}, "Picture.labels must be sorted and different, got ('b', 'a')."),
        ({"labels": ("a", "a")}, "Picture.labels must be sorted and different, got ('a', 'a')."),
        ({"split": "dev"}, "Picture.split must be 'train', 'val', 'test' or None, got 'dev'."),
    ],
)
def test_a_picture_checks_itself(fields, message):
    with pytest.raises(DatasetError) as caught:
        Picture(**{"path": Path("a"), "sha256": SHA, "labels": ("a",), **fields})
    assert str(caught.value) == message


def test_an_index_checks_itself():
    picture = Picture(Path("a.jpg"), SHA, ("cat", "dog"))
    with pytest.raises(
        DatasetError, match=r"a\.jpg has labels \('cat', 'dog'\) outside the classes \('cat',\)"
    ):
        Index(Path(), ("cat",), "multi_label", (picture,))
    with pytest.raises(DatasetError, match=r"a\.jpg must have one label, got \('cat', 'dog'\)"):
        Index(Path(), ("cat", "dog"), "single_label", (picture,))
    with pytest.raises(DatasetError, match="classes must be sorted and different"):
        Index(Path(), ("dog", "cat"), "single_label", ())
    assert Index(Path(), ("cat", "dog"), "multi_label", (picture,)).pictures == (picture,)


def test_the_factories_make_the_same_bytes_from_the_same_seed(tmp_path):
    assert tiny_pixels(1).tolist() == tiny_pixels(1).tolist() != tiny_pixels(2).tolist()
    a, b = write_picture(tmp_path / "a.png", 1), write_picture(tmp_path / "b.png", 1)
    assert a.read_bytes() == b.read_bytes()
