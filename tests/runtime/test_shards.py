"""Which pictures WebDataset's tars name, how, and what is said of those that cannot count."""

import json
from pathlib import Path

import pytest
from runtime_factories import shards_of, write_folders, write_picture, write_shard, write_tar

from edgetl_runtime.decode import read_file
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.listing import list_dataset
from edgetl_runtime.pictures import index

ONE = {"1.jpg": (b"one", "0")}


def message_of(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        list_dataset(path)
    return str(caught.value)


def told(path: Path) -> list[tuple[str, tuple[str, ...], str | None]]:
    listing = list_dataset(path)
    return [(row.path.relative_to(listing.root).as_posix(), row.labels, row.split) for row in listing.rows]


def reasons(path: Path) -> dict[str, str]:
    listing = list_dataset(path)
    return {one.path.relative_to(listing.root).as_posix(): one.reason for one in listing.unusable}


# Keys and labels.


def test_a_key_ends_at_the_first_dot_of_the_base_name(tmp_path):
    files = {"v1.0/a.jpg": b"a", "v1.0/a.seg.png": b"mask", "v1.0/a.cls": b"3\n", "v1.0/b.c.cls": b"4"}
    assert told(write_tar(tmp_path / "a.tar", files)) == [("a.tar/v1.0/a.jpg", ("3",), None)]


def test_a_label_may_lie_before_its_picture_or_far_from_it(tmp_path):
    files = {"2.cls": b"7", "1.jpg": b"one", "2.webp": b"two", "1.cls": b"5"}
    assert sorted(labels for _, labels, _ in told(write_tar(tmp_path / "a.tar", files))) == [("5",), ("7",)]


@pytest.mark.parametrize(
    ("label", "labels", "task"),
    [
        ("cat", ("cat",), "single_label"),
        (3, ("3",), "single_label"),
        (["dog", "cat"], ("cat", "dog"), "multi_label"),
        ([], (), "multi_label"),
    ],
)
def test_a_json_tells_a_name_a_number_or_several(tmp_path, label, labels, task):
    files = {"1.jpg": b"one", "1.json": json.dumps({"label": label, "size": 3}).encode()}
    listing = list_dataset(write_tar(tmp_path / "a.tar", files))
    assert (listing.rows[0].labels, listing.task) == (labels, task)


def test_names_of_classes_lie_beside_the_shards_or_above_those_of_a_split(tmp_path):
    write_shard(tmp_path / "data/test/0.tar", {"1.jpg": (b"one", "1")})
    (tmp_path / "data/classnames.txt").write_text("cat\nde\u0301ja\u0300\n", encoding="utf-8")
    assert told(tmp_path / "data") == [("test/0.tar/1.jpg", ("d\xe9j\xe0",), "test")]
    assert told(tmp_path / "data/test") == [("0.tar/1.jpg", ("d\xe9j\xe0",), None)]


def test_names_that_are_not_different_are_refused(tmp_path):
    write_shard(tmp_path / "0.tar", ONE)
    (tmp_path / "classnames.txt").write_text("cat\ncat\n", encoding="utf-8")
    assert "must have one name a line, all different" in message_of(tmp_path)
    (tmp_path / "classnames.txt").write_bytes(b"\xff")
    assert "is not UTF-8 text" in message_of(tmp_path)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "has no label: neither"),
        ({"1.json": b"{}"}, "has no label: neither"),
        ({"1.json": b"[1"}, "has a .json that is none"),
        ({"1.cls": b"tabby"}, "has the class 'tabby' in its .cls, which must be a whole number"),
        ({"1.cls": b"-1"}, "has the class '-1' in its .cls"),
        ({"1.cls": b""}, "has the class '' in its .cls"),
        ({"1.cls": b"\xff"}, "has a label that is no UTF-8 text"),
        ({"1.cls": b"2"}, "has the class 2, and classnames.txt names 0 to 1"),
        ({"1.json": b'{"label": true}'}, "has the label 'True' in its .json: neither"),
        ({"1.json": b'{"label": " "}'}, "has the label ' ' in its .json: neither"),
        ({"1.cls": b"0", "1.json": b'{"label": "dog"}'}, "has two labels: cat in its .cls, dog in its .json"),
        ({"1.cls": b"0", "1.png": b"two"}, "shares its key with another picture"),
        ({"1.cls": b"0", "./1.cls": b"1"}, "has its key twice in the tar: .cls"),
        ({"1.cls": b"0", "./1.jpg": b"two"}, "has its key twice in the tar: .jpg"),
    ],
)
def test_a_picture_that_cannot_count_is_listed_with_its_reason(tmp_path, files, reason):
    tar = write_tar(tmp_path / "a.tar", {"0.jpg": b"zero", "0.cls": b"0", "1.jpg": b"one"} | files)
    (tmp_path / "classnames.txt").write_text("cat\ndog", encoding="utf-8")
    assert told(tar) == [("a.tar/0.jpg", ("cat",), None)]
    found = reasons(tar)
    assert found["a.tar/1.jpg"].startswith(reason)


def test_labels_may_begin_with_the_byte_order_mark_of_windows(tmp_path):
    (tmp_path / "classnames.txt").write_text("\ufeffcat\ndog", encoding="utf-8")
    files = {"1.jpg": b"", "1.cls": "\ufeff0".encode(), "2.jpg": b"", "2.json": '\ufeff{"label": 0}'.encode()}
    assert [labels for _, labels, _ in told(write_tar(tmp_path / "a.tar", files))] == [("cat",), ("cat",)]


def test_labels_that_agree_are_one(tmp_path):
    (tmp_path / "classnames.txt").write_text("cat\ndog", encoding="utf-8")
    tar = write_tar(tmp_path / "a.tar", {"1.jpg": b"", "1.cls": b"1", "1.json": b'{"label": "dog"}'})
    assert told(tar) == [("a.tar/1.jpg", ("dog",), None)]


def test_a_label_without_its_picture_is_not_lost(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"0.jpg": b"", "0.cls": b"0", "x/1.cls": b"0", "x/1.npy": b""})
    assert reasons(tar) == {"a.tar/x/1.cls": "is a label without a picture x/1.*"}


def test_hidden_files_are_ignored(tmp_path):
    files = {"0.jpg": b"", "0.cls": b"0", "._0.jpg": b"", "__MACOSX/0.jpg": b"", ".x/0.jpg": b""}
    assert (len(told(write_tar(tmp_path / "a.tar", files))), reasons(tmp_path / "a.tar")) == (1, {})


# Shards and splits.


def test_shards_tell_their_split_by_a_word_of_their_name_or_folder(tmp_path):
    for name in ("imagenet1k-Validation-00", "train-000", "x_test.1"):
        write_shard(tmp_path / f"{name}.tar", ONE)
    assert [split for _, _, split in told(tmp_path)] == ["val", "train", "test"]
    write_shard(tmp_path / "folders/train/0.tar", ONE)
    write_shard(tmp_path / "folders/valid/0.tar", ONE)
    assert [split for _, _, split in told(tmp_path / "folders")] == ["train", "val"]


def test_one_shard_or_a_folder_without_splits_has_none(tmp_path):
    write_shard(tmp_path / "test" / "trains.tar", ONE)
    assert (
        told(tmp_path / "test") == told(tmp_path / "test/trains.tar") == [("trains.tar/1.jpg", ("0",), None)]
    )


def test_half_split_and_twice_split_shards_are_refused(tmp_path):
    write_shard(tmp_path / "a/train-0.tar", ONE)
    write_shard(tmp_path / "a/more-0.tar", ONE)
    assert "more-0.tar names no split while other shards do" in message_of(tmp_path / "a")
    write_shard(tmp_path / "b/test-of-train.tar", ONE)
    assert "names the splits ['test', 'train']" in message_of(tmp_path / "b")


def test_a_class_that_train_lacks_is_refused(tmp_path):
    write_shard(tmp_path / "train-0.tar", ONE)
    write_shard(tmp_path / "test-0.tar", {"1.jpg": (b"one", "4")})
    assert "the classes ['4'] are in the shards of val or test and not in those of train" in message_of(
        tmp_path
    )


def test_a_pattern_in_braces_counts_and_chooses(tmp_path):
    for name in ("train-008", "train-009", "train-010", "val-000"):
        write_shard(tmp_path / f"{name}.tar", ONE)
    found = told(tmp_path / "train-{008..010}.tar")
    assert [name for name, _, _ in found] == [f"train-{n}.tar/1.jpg" for n in ("008", "009", "010")]
    assert len(told(tmp_path / "{train-00{8..9},val-000}.tar".replace("{8..9}", "8"))) == 2
    assert message_of(tmp_path / "train-{007..009}.tar") == (
        f"{tmp_path}/train-{{007..009}}.tar names 3 tars, and 1 are not there, such as "
        f"{tmp_path}/train-007.tar. Copy them there, or correct the numbers in braces."
    )
    assert "must count upwards" in message_of(tmp_path / "train-{9..1}.tar")


def test_every_damaged_tar_is_named(tmp_path):
    for number in range(7):
        tar = write_shard(tmp_path / f"{number}.tar", ONE)
        tar.write_bytes(tar.read_bytes()[: -1 if number == 0 else 600])
    (tmp_path / "0.tar").unlink()
    lines = message_of(tmp_path).splitlines()
    assert [line.split(" is damaged")[0] for line in lines[:-1]] == [
        f"{tmp_path}/{n}.tar" for n in range(1, 6)
    ]
    assert lines[-1] == "and 1 more tars"


def test_a_tar_without_pictures_is_refused(tmp_path):
    assert "has no picture. WebDataset's samples" in message_of(write_tar(tmp_path / "a.tar", {"1.txt": b""}))


def test_tars_beside_pictures_leave_open_what_is_meant(tmp_path):
    write_picture(tmp_path / "cat/1.png")
    write_shard(tmp_path / "all.tar", ONE)
    assert "has tars such as 'all.tar' beside pictures such as 'cat/1.png'" in message_of(tmp_path)


@pytest.mark.parametrize("name", ["a.tar.gz", "train/a.tgz"])
def test_compressed_tars_are_refused_in_a_folder_and_alone(tmp_path, name):
    write_shard(tmp_path / name, ONE)
    assert "is compressed" in message_of(tmp_path / name)
    if "/" not in name:
        assert "is compressed" in message_of(tmp_path)


# As a dataset.


def test_an_index_of_shards_is_that_of_the_same_pictures_in_folders(tmp_path):
    layout = {"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 2}
    folder = write_folders(tmp_path / "photos", layout)
    shards = shards_of(folder, tmp_path / "shards")
    one, two = index(folder), index(shards)
    assert (one.fingerprint, one.classes, one.task) == (two.fingerprint, two.classes, two.task)
    assert {(p.sha256, p.labels, p.split) for p in one.pictures} == {
        (p.sha256, p.labels, p.split) for p in two.pictures
    }


def test_what_is_unusable_counts_among_the_unreadable(tmp_path):
    good = {f"{n}.png": (write_picture(tmp_path / f"{n}.png", n).read_bytes(), "0") for n in range(9)}
    tar = write_shard(tmp_path / "shards/a.tar", good | {"9.png": (b"no picture", "0")})
    found = index(tar, max_unreadable=0.1)
    assert [(one.path.name, one.reason[:20]) for one in found.unreadable] == [
        ("9.png", "is not a JPEG, PNG, ")
    ]
    write_shard(tmp_path / "shards/b.tar", {"1.png": (good["1.png"][0], "dog")})
    with pytest.raises(DatasetError, match=r"2 of 11 pictures are unreadable, more than the fraction 0\.1"):
        index(tmp_path / "shards", max_unreadable=0.1)


def test_a_csv_may_name_pictures_in_tars(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"x/1.png": write_picture(tmp_path / "1.png").read_bytes()})
    csv = tmp_path / "data.csv"
    csv.write_text("path,label\na.tar/x/1.png,cat\na.tar/x/2.png,cat\n", encoding="utf-8")
    one, two = list_dataset(csv).rows
    assert read_file(one.path) == (tmp_path / "1.png").read_bytes()
    assert one.path == tar / "x/1.png"
    (lost,) = index(csv, max_unreadable=0.5).unreadable
    assert (lost.path, "Not a directory" in lost.reason) == (two.path, True)
