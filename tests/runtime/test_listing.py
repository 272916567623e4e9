"""Which pictures a dataset names: folders of classes or a CSV, and what is refused."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from runtime_factories import write_folders, write_picture

from edgetl_runtime.errors import DatasetError
from edgetl_runtime.listing import Listing, list_dataset


def rows_of(listing: Listing) -> list[tuple[str, tuple[str, ...], str | None]]:
    return [(row.path.relative_to(listing.root).as_posix(), row.labels, row.split) for row in listing.rows]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write_csv(root: Path, text: str) -> Path:
    path = root / "data.csv"
    path.write_bytes(text.encode("utf-8"))
    return path


def message_of(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        list_dataset(path)
    return str(caught.value)


# Folders.


def test_class_folders_without_splits(tmp_path):
    touch(tmp_path, "dog/b.jpg", "dog/a.JPEG", "cat/x.png")
    listing = list_dataset(tmp_path)
    assert listing.task == "single_label"
    assert rows_of(listing) == [
        ("cat/x.png", ("cat",), None),
        ("dog/a.JPEG", ("dog",), None),
        ("dog/b.jpg", ("dog",), None),
    ]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_class_folders_within_splits(tmp_path, val):
    touch(tmp_path, "train/cat/1.jpg", f"{val}/cat/2.jpg", "test/cat/3.jpg")
    assert sorted(split for _, _, split in rows_of(list_dataset(tmp_path))) == ["test", "train", "val"]


def test_one_split_alone_is_a_dataset(tmp_path):
    touch(tmp_path, "test/cat/1.jpg", "test/dog/2.jpg")
    assert [split for _, _, split in rows_of(list_dataset(tmp_path))] == ["test", "test"]


def test_pictures_are_found_at_any_depth_of_a_class(tmp_path):
    touch(tmp_path, "cat/2024/05/a.jpg", "cat/b.jpg")
    assert [path for path, _, _ in rows_of(list_dataset(tmp_path))] == ["cat/2024/05/a.jpg", "cat/b.jpg"]


def test_only_what_may_be_a_picture_is_listed(tmp_path):
    touch(tmp_path, "cat/a.webp", "cat/no_suffix", "cat/notes.txt", "cat/Thumbs.db", "cat/meta.json")
    touch(
        tmp_path, "cat/.hidden.jpg", "cat/._a.jpg", "cat/@eaDir/a.jpg", ".cache/x.jpg", "__MACOSX/cat/a.jpg"
    )
    touch(tmp_path, "README", "LICENSE.txt")
    assert [path for path, _, _ in rows_of(list_dataset(tmp_path))] == ["cat/a.webp", "cat/no_suffix"]


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path / "elsewhere", "deep/a.jpg")
    touch(tmp_path / "data", "cat/b.jpg")
    (tmp_path / "data/cat/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/loop").symlink_to(tmp_path / "data/cat")
    listing = list_dataset(tmp_path / "data")
    assert [path for path, _, _ in rows_of(listing)] == ["cat/b.jpg", "cat/link/deep/a.jpg"]


def test_a_class_name_is_composed_so_that_every_system_writes_it_alike(tmp_path):
    touch(tmp_path, "cafe\u0301/a.jpg")
    assert rows_of(list_dataset(tmp_path))[0][1] == ("café",)


def test_nothing_at_the_path(tmp_path):
    allowed = "Give a folder of class folders or of tars, a tar, or a CSV file."
    assert message_of(tmp_path / "no") == f"There is no dataset at {tmp_path / 'no'}. {allowed}"


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    touch(tmp_path, "cat/a.jpg", "cat/locked/b.jpg")
    scan = os.scandir

    def refuse_locked(path: str) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse_locked)
    assert message_of(tmp_path) == (
        f"The dataset {tmp_path} cannot be read ([Errno {errno.EACCES}] Permission denied: "
        f"'{tmp_path / 'cat/locked'}'). Check its permissions."
    )


def test_no_class_folder(tmp_path):
    assert message_of(tmp_path) == (
        f"{tmp_path} has no class folder. Put its pictures into one folder per class, or write a CSV."
    )


def test_an_empty_class_folder(tmp_path):
    touch(tmp_path, "cat/a.jpg", "dog/notes.txt")
    expected = f"The class folder {tmp_path / 'dog'} has no picture. Add pictures, or remove the folder."
    assert message_of(tmp_path) == expected


@pytest.mark.parametrize("folder", [".", "train"])
def test_pictures_outside_any_class_folder(tmp_path, folder):
    touch(tmp_path, "train/cat/a.jpg", f"{folder}/z.jpg", f"{folder}/b.jpg")
    assert message_of(tmp_path) == (
        f"2 pictures lie directly in {tmp_path / folder}, such as 'b.jpg', and so have no class. "
        "Put them into one folder per class, or write a CSV."
    )


def test_splits_with_different_classes(tmp_path):
    write_folders(tmp_path, {"train/cat": 1, "train/dog": 1, "val/cat": 1, "test/dog": 1, "test/fox": 1})
    assert message_of(tmp_path) == (
        f"The splits of {tmp_path} have different classes: test lacks ['cat']; train lacks ['fox']; "
        "val lacks ['dog', 'fox']. Make them the same."
    )


def test_two_folders_for_one_split(tmp_path):
    touch(tmp_path, "train/cat/a.jpg", "val/cat/b.jpg", "valid/cat/c.jpg")
    expected = f"{tmp_path} has two folders for the split 'val'. Merge them, or remove one."
    assert message_of(tmp_path) == expected


def test_a_misnamed_split_does_not_turn_the_splits_into_classes(tmp_path):
    touch(tmp_path, "training/cat/a.jpg", "val/cat/b.jpg", "test/cat/c.jpg")
    assert message_of(tmp_path) == (
        f"{tmp_path} has the folders ['test', 'val'] of splits beside ['training'], which hold pictures too. "
        "train, val, valid, validation, test always name splits: rename a class that is called so, "
        "or write a CSV."
    )


def test_a_folder_without_pictures_may_lie_beside_splits(tmp_path):
    touch(tmp_path, "train/cat/a.jpg", "test/cat/b.jpg", "docs/notes.txt")
    assert len(list_dataset(tmp_path).rows) == 2


# CSV.


def test_a_csv_of_paths_and_labels(tmp_path):
    listing = list_dataset(write_csv(tmp_path, "path,label\npictures/b c.jpg,dog\na.jpg, cat \n"))
    assert listing.task == "single_label"
    assert rows_of(listing) == [("pictures/b c.jpg", ("dog",), None), ("a.jpg", ("cat",), None)]


def test_a_csv_with_splits_in_any_order_of_columns(tmp_path):
    listing = list_dataset(write_csv(tmp_path, "Split,Label,Path\ntrain,cat,a.jpg\nvalid,cat,b.jpg\n"))
    assert rows_of(listing) == [("a.jpg", ("cat",), "train"), ("b.jpg", ("cat",), "val")]


def test_a_csv_from_a_spreadsheet_has_a_byte_order_mark_and_blank_lines(tmp_path):
    listing = list_dataset(write_csv(tmp_path, '\ufeffpath,label\r\n\r\n"a,b.jpg","cat"\r\n\r\n'))
    assert rows_of(listing) == [("a,b.jpg", ("cat",), None)]


def test_an_absolute_path_stays_absolute(tmp_path):
    listing = list_dataset(write_csv(tmp_path, "path,label\n/data/a.jpg,cat\n"))
    assert listing.rows[0].path == Path("/data/a.jpg")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["b|a", "c"], [("a", "b"), ("c",)]),
        (["a", ""], [("a",), ()]),
        (["a|", "a|a"], [("a",), ("a",)]),
    ],
)
def test_bars_or_an_empty_label_make_it_multi_label(tmp_path, labels, expected):
    lines = "".join(f"{number}.jpg,{label}\n" for number, label in enumerate(labels))
    listing = list_dataset(write_csv(tmp_path, f"path,label\n{lines}"))
    assert listing.task == "multi_label"
    assert [row.labels for row in listing.rows] == expected


COLUMNS = "must have the columns path, label and maybe split, separated by commas, each once"
SPLITS = "['test', 'train', 'val', 'valid', 'validation']"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is empty. Write the columns path,label[,split] and a row per picture."),
        ("path;label\na.jpg;cat\n", f" {COLUMNS}; got ['path;label']. Rename or remove columns."),
        ("path,label,splits\n", f" {COLUMNS}; got ['path', 'label', 'splits']. Rename or remove columns."),
        ("path,path,label\n", f" {COLUMNS}; got ['path', 'path', 'label']. Rename or remove columns."),
        ("path,label\na.jpg,cat,test\n", ", line 2: has 3 fields, the header has 2."),
        ("path,label,split\na.jpg,cat,dev\n", f", line 2: the split must be one of {SPLITS}, got 'dev'."),
        ("path,label\n,cat\n", ", line 2: the path is empty. Name a picture, or remove the line."),
        (
            "path,label,split\na.jpg,cat,train\n\nb.jpg,cat,\n",
            ", line 4: has no split while others have. Give all rows a split, or none.",
        ),
        (
            "path,label,split\na.jpg,cat,train\nb.jpg,fox,test\n",
            ": the classes ['fox'] are in val or test and not in train. Add some there.",
        ),
        (
            'path,label\n"a.jpg,cat\n',
            " is not a CSV file (unexpected end of data). Write the columns path,label[,split].",
        ),
    ],
)
def test_a_csv_that_is_not_ours_is_refused_with_its_line(tmp_path, text, message):
    path = write_csv(tmp_path, text)
    assert message_of(path) == f"{path}{message}"


def test_duplicate_rows_are_refused_with_both_lines(tmp_path):
    path = write_csv(tmp_path, "path,label\na.jpg,cat\nb.jpg,cat\na.jpg,dog\n")
    assert message_of(path) == f"{path}, line 4: {tmp_path / 'a.jpg'} is in line 2 too. Remove one."


def test_a_path_is_the_same_with_and_without_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path, f"path,label\na.jpg,cat\n{tmp_path / 'a.jpg'},cat\n")
    assert message_of(Path("data.csv")).startswith(
        f"data.csv, line 3: {tmp_path / 'a.jpg'} is in line 2 too."
    )


def test_a_csv_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("path,label\ncafé.jpg,cat\n".encode("latin-1"))
    assert message_of(path).endswith("Save the CSV as UTF-8.")


def test_a_picture_is_not_a_dataset(tmp_path):
    assert "is not UTF-8 text" in message_of(write_picture(tmp_path / "a.png"))
