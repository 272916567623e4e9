"""A picture inside a tar is a path, and what reads paths reads it."""

import copy
import pickle
from pathlib import Path

import pytest
from runtime_factories import tiny_pixels, write_picture, write_tar

from edgetl_runtime.decode import open_picture, read_file
from edgetl_runtime.errors import PictureError
from edgetl_runtime.member import Member, Moved, member, read_member
from edgetl_runtime.tars import find_member


def tar_of(folder: Path, **files: bytes) -> Path:
    return write_tar(folder / "a.tar", {f"cat/{name}.png": data for name, data in files.items()})


def test_it_sorts_shows_and_compares_as_its_name(tmp_path):
    one = member(tmp_path / "a.tar", "cat/1.png", 512, 3)
    assert isinstance(one, Path)
    assert one == tmp_path / "a.tar/cat/1.png"
    assert hash(one) == hash(tmp_path / "a.tar/cat/1.png")
    assert str(one) == f"{tmp_path}/a.tar/cat/1.png"
    assert sorted([one, tmp_path / "a.tar/cat/0.png"])[1] is one
    assert one.relative_to(tmp_path).as_posix() == "a.tar/cat/1.png"
    assert one.parent == tmp_path / "a.tar/cat"
    assert one.resolve() == (tmp_path / "a.tar/cat/1.png").resolve()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_another_process_gets_its_place_as_well(tmp_path, again):
    one = again(find_member(tar_of(tmp_path, a=b"one", b=b"two") / "cat/b.png"))
    assert isinstance(one, Member)
    assert read_member(one) == b"two"


def test_whatever_opens_a_picture_opens_it_by_place_or_by_name(tmp_path):
    data = write_picture(tmp_path / "a.png", 3).read_bytes()
    path = tar_of(tmp_path, other=b"x", it=data) / "cat/it.png"
    for source in (find_member(path), path, str(path)):
        assert (open_picture(source).convert("RGB").tobytes()) == tiny_pixels(3).tobytes()


def test_a_tar_that_has_changed_is_noticed(tmp_path):
    one = find_member(tar_of(tmp_path, a=b"one") / "cat/a.png")
    tar_of(tmp_path, a=b"longer")
    with pytest.raises(Moved, match="has changed since it was listed"):
        read_member(one)
    with pytest.raises(PictureError, match="has changed since it was listed"):
        read_file(one)
    one.tar.unlink()
    with pytest.raises(PictureError, match="does not exist"):
        read_file(one)


def test_what_cannot_be_found_says_so(tmp_path):
    tar = tar_of(tmp_path, a=b"one")
    with pytest.raises(PictureError, match="inside a tar, names are exact"):
        read_file(tar / "cat/A.png")
    (tmp_path / "file.txt").touch()
    with pytest.raises(PictureError, match="Not a directory"):
        read_file(tmp_path / "file.txt" / "a.png")
    tar.write_bytes(tar.read_bytes()[:600])
    with pytest.raises(PictureError, match="is damaged after"):
        read_file(tar / "cat/a.png")


def test_a_large_member_is_refused_as_a_large_file_is(tmp_path):
    with pytest.raises(PictureError, match="has 268435457 bytes, more than 268435456"):
        read_file(member(tmp_path / "a.tar", "1.png", 512, 2**28 + 1))
