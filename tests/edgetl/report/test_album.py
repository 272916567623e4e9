"""Pictures are found by the hash of their bytes, and made small."""

import base64
import hashlib
import io

import pytest
from PIL import Image
from report_factories import write_facts

from edgetl.report.album import Album, open_album, thumbnail
from edgetl.report.sources import Sources
from edgetl_runtime.errors import DatasetError


def write_wide(path, colour="red", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (400, 200), colour).save(path, **options)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def small(found):
    head, _, data = found.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_pictures_are_found_whatever_they_are_called(tmp_path):
    path = write_wide(tmp_path / "data/cat/odd name.png")
    album = open_album(Sources(), tmp_path / "data", [sha256(path), "0" * 64])
    assert album.paths == {sha256(path): path}
    assert album.reason == f"1 of the pictures are not in {tmp_path / 'data'}."


def test_the_pictures_of_a_run_are_where_its_table_says(tmp_path):
    path = write_wide(tmp_path / "elsewhere/a.png")
    run = write_facts(tmp_path / "run")
    (run / "dataset.csv").write_text(f"path,label,split\n{path},cat,test\n", encoding="utf-8")
    assert open_album(Sources(run_folder=run), None, [sha256(path)]).paths == {sha256(path): path}


def test_without_the_pictures_there_is_a_reason(tmp_path):
    assert "give --data" in open_album(Sources(), None, ["0" * 64]).reason
    gone = open_album(Sources(run_folder=write_facts(tmp_path / "run")), None, ["0" * 64])
    assert not gone.paths
    assert gone.reason.startswith("No pictures are shown, those of the run are not there")


def test_data_that_was_asked_for_must_be_there(tmp_path):
    with pytest.raises(DatasetError):
        open_album(Sources(), tmp_path / "nowhere", ["0" * 64])


def test_nothing_is_looked_for_where_nothing_changed(tmp_path):
    assert open_album(Sources(), tmp_path / "nowhere", []) == Album()


def test_a_thumbnail_is_upright_and_small(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    found = thumbnail(write_wide(tmp_path / "a.jpg", exif=turned))
    assert (found.width, found.height) == small(found).size == (48, 96)
    assert len(found.uri) < 4_000


def test_a_picture_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    found = thumbnail(tmp_path / "a.png")
    assert found.uri == ""
    assert "is not a JPEG" in found.reason
