"""What lies where in a tar: whatever tarfile writes is found by its place, and nothing damaged passes."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_factories import write_tar

from edgetl_runtime import tars
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.member import member, read_member
from edgetl_runtime.tars import entries, find_member, find_members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LETTERS = st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",))
PART = st.text(LETTERS, min_size=1, max_size=90).filter(lambda part: part not in (".", ".."))
NAMES = st.lists(PART, min_size=1, max_size=4).map("/".join)
FILES = st.dictionaries(NAMES, st.binary(max_size=2_000), max_size=6)


def read_all(tar: Path) -> dict[str, bytes]:
    return {one.name: read_member(member(tar, one.name, one.offset, one.bytes)) for one in entries(tar)}


def message_of(tar: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        list(entries(tar))
    return str(caught.value)


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
@settings(max_examples=20, deadline=None)
@given(files=FILES)
def test_every_file_is_found_by_its_place(tmp_path_factory, format, files):
    if format == tarfile.USTAR_FORMAT:  # It holds no longer names.
        files = {name: data for name, data in files.items() if len(name.encode()) <= 100}
    tar = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", files, format)
    assert read_all(tar) == files


@settings(max_examples=30, deadline=None)
@given(files=FILES.filter(bool), format=st.sampled_from(list(FORMATS.values())), share=st.floats(0, 1))
def test_a_tar_that_is_cut_off_anywhere_is_refused_by_name(tmp_path_factory, files, format, share):
    files = {name[:60] or "a": data for name, data in files.items() if len(name[:60].encode()) <= 100}
    tar = write_tar(tmp_path_factory.mktemp("tar") / "cut.tar", files, format)
    whole = tar.read_bytes()
    end = len(whole.rstrip(b"\0"))
    tar.write_bytes(whole[: int(share * (end - 1))])
    assert f"{tar} is damaged after" in message_of(tar)


def test_a_damaged_header_in_the_middle_does_not_pass_as_the_end(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"1.jpg": b"one", "2.jpg": b"two"})
    data = bytearray(tar.read_bytes())
    data[1024:1030] = b"broken"
    tar.write_bytes(data)
    assert message_of(tar) == (
        f"{tar} is damaged after 1 files (no header at byte 1,024), so that an unknown number of pictures is "
        "lost. Copy it again from where it is whole, write it again, or leave it out."
    )


def test_tars_put_together_are_refused_since_readers_stop_at_the_first_end(tmp_path):
    one = write_tar(tmp_path / "1.tar", {"1.jpg": b"one"})
    two = write_tar(tmp_path / "2.tar", {"2.jpg": b"two"})
    both = tmp_path / "both.tar"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert "more data after its end at byte 1,024" in message_of(both)


def test_a_header_that_leads_back_ends_the_reading(tmp_path):
    info = tarfile.TarInfo("a.jpg")
    info.size = -1024
    tar = tmp_path / "a.tar"
    tar.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "is damaged after 0 files" in message_of(tar)


@pytest.mark.parametrize("name", ["a.tar", "a.bin"])
def test_a_compressed_tar_is_refused_by_its_content(tmp_path, name):
    tar = write_tar(tmp_path / "plain.tar", {"1.jpg": b"one"})
    packed = tmp_path / name
    packed.write_bytes(gzip.compress(tar.read_bytes()))
    assert f"{packed} is compressed (gzip)" in message_of(packed)


def test_an_empty_file_is_no_tar(tmp_path):
    (tmp_path / "a.tar").touch()
    assert "is damaged after 0 files" in message_of(tmp_path / "a.tar")


def test_links_and_files_with_holes_are_told_and_folders_are_not(tmp_path):
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w") as archive:
        for name, kind in (("f", tarfile.DIRTYPE), ("a.jpg", tarfile.SYMTYPE), ("b.jpg", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "x.jpg"
            archive.addfile(info)
        info = tarfile.TarInfo("c.jpg")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
        info.size = 512
        archive.addfile(info, io.BytesIO(b"1\n0\n9\n" + bytes(506)))
    told = {one.name: one.reason.partition(" (")[0] for one in entries(tar)}
    assert told == {
        "a.jpg": "is a link inside the tar",
        "b.jpg": "is no file inside the tar",
        "c.jpg": "is stored with holes",
    }


def test_memory_does_not_grow_with_the_files(tmp_path, monkeypatch):
    tar = write_tar(tmp_path / "a.tar", {f"{number}.jpg": b"x" for number in range(50)})
    kept: list[int] = []
    forget = tars._forget
    monkeypatch.setattr(tars, "_forget", lambda a: (kept.append(len(vars(a)["members"])), forget(a)))
    assert len(list(entries(tar))) == 50
    assert max(kept) == 1


def test_a_picture_is_found_by_its_name(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"./cat//1.jpg": b"one", "/dog/2.jpg": b"two"})
    assert read_member(find_member(tar / "cat/1.jpg")) == b"one"
    assert read_member(find_member(tar / "dog/2.jpg")) == b"two"
    assert find_member(tar / "dog/3.jpg") is None
    assert find_member(tmp_path / "no.tar" / "1.jpg") is None


def test_a_tar_that_was_written_again_is_listed_again(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"1.jpg": b"one"})
    assert find_member(tar / "1.jpg").bytes == 3
    write_tar(tar, {"0.jpg": b"x" * 20_000, "1.jpg": b"other"})
    assert read_member(find_member(tar / "1.jpg")) == b"other"


def test_many_names_are_found_with_each_tar_read_once(tmp_path, monkeypatch):
    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", {"1.jpg": b"%d" % number, "2.jpg": b"two"})
    read: list[Path] = []
    real = tars.entries
    monkeypatch.setattr(tars, "entries", lambda tar: (read.append(tar), real(tar))[1])
    wanted = [tmp_path / f"{n % 3}.tar" / f"{m}.jpg" for n, m in ((0, 1), (1, 1), (0, 9), (2, 1), (0, 1))]
    found = find_members(wanted)
    assert {path: read_member(one) for path, one in found.items()} == {
        tmp_path / f"{n}.tar" / "1.jpg": b"%d" % n for n in range(3)
    }
    assert read == [tmp_path / f"{n}.tar" for n in range(3)]
