import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bundle import tiny_bundle, tiny_manifest, write_manifest, zip_folder

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import BundleError


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail any test after which an unpacked folder still lies about."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "bundle.zip")


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as error:
        Bundle.open(path)
    return str(error.value)


def rewritten(archive: Path, write: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], object]) -> Path:
    """Write the zip again, `write` deciding about each entry."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(archive.with_name("new.zip"), "w") as new:
        for info in old.infolist():
            write(new, info, old.read(info))
    return archive.with_name("new.zip")


def test_a_zip_opens_with_the_files_of_the_folder(tmp_path: Path, archive: Path) -> None:
    with Bundle.open(archive) as bundle:
        for entry in bundle.manifest.files:
            assert bundle.path(entry.path).read_bytes() == (tmp_path / "bundle" / entry.path).read_bytes()


def test_entries_for_folders_do_no_harm(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.mkdir("onnx/")
        opened.mkdir("../up/")
    with Bundle.open(archive) as bundle:
        assert not (bundle.root.parent / "up").exists()


@pytest.mark.parametrize("name", ["extra.txt", "../escaped.txt", "/tmp/escaped.txt", "onnx/../../x", "a\\b"])
def test_an_entry_that_the_manifest_does_not_list_is_refused(
    tmp_path: Path, archive: Path, name: str
) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, "harm")
    assert f"{name!r} is not in the manifest" in refusal(archive)
    assert not (tmp_path / "escaped.txt").exists()


def test_a_missing_entry_is_refused(archive: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        if info.filename != "onnx/model.onnx":
            new.writestr(info, data)

    assert "'onnx/model.onnx' is missing" in refusal(rewritten(archive, write))


def test_a_size_that_the_manifest_does_not_tell_is_refused_before_unpacking(archive: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(info, data + b"x" * (info.filename == "openvino/model.bin"))

    assert "'openvino/model.bin' has 4905 bytes where the manifest says 4904" in refusal(
        rewritten(archive, write)
    )


def test_changed_contents_of_the_same_size_are_refused(archive: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(info, bytes(len(data)) if info.filename == "openvino/model.bin" else data)

    assert "'openvino/model.bin' was changed" in refusal(rewritten(archive, write))


def test_a_symbolic_link_is_refused(archive: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        if info.filename == "onnx/model.onnx":
            info.external_attr = 0o120777 << 16
        new.writestr(info, data)

    assert "'onnx/model.onnx' is a symbolic link" in refusal(rewritten(archive, write))


def test_an_encrypted_entry_is_refused(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    archive.write_bytes(data)
    assert "is encrypted" in refusal(archive)


def test_a_rare_compression_is_refused(archive: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(info, data, zipfile.ZIP_BZIP2)

    assert "is neither stored nor deflated" in refusal(rewritten(archive, write))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_appears_twice_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("onnx/model.onnx", "the second one")
    assert "'onnx/model.onnx' appears twice in the zip" in refusal(archive)


def test_a_bomb_is_refused_although_its_manifest_is_honest(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "zeros.bin").write_bytes(bytes(20 * 2**20))
    write_manifest(folder, tiny_manifest())
    Bundle.open(folder)
    text = refusal(zip_folder(folder, tmp_path / "bomb.zip"))
    assert "it would grow from" in text
    assert "above the limit of 100 times" in text


def test_a_zip_of_the_folder_itself_says_how_to_zip(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "outer" / "bundle")
    text = refusal(zip_folder(tmp_path / "outer", tmp_path / "nested.zip"))
    assert text.endswith("at its top. Zip the files themselves, not the folder around them.")


def test_a_manifest_above_the_limit_is_not_unpacked(archive: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(info, bytes(16 * 2**20 + 1) if info.filename == "manifest.json" else data)

    text = refusal(rewritten(archive, write))
    assert text.endswith("'manifest.json' must have at most 16 MiB, got 16777217 bytes.")


def test_a_zip_of_anything_else_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hello", encoding="utf-8")
    assert refusal(zip_folder(tmp_path / "other", tmp_path / "other.zip")).endswith("at its top.")


@pytest.mark.parametrize("kept", [10, 0.5, 0.99])
def test_a_truncated_zip_is_refused(archive: Path, kept: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    assert "is not a bundle, or damaged: File is not a zip file. Copy it again" in refusal(archive)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_zip_with_changed_bytes_opens_unharmed_or_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        archive = zip_folder(tiny_bundle(path / "bundle"), path / "bundle.zip")
        content = bytearray(archive.read_bytes())
        directory = content.index(b"PK\x01\x02")
        for _ in range(data.draw(st.integers(1, 4))):
            first = data.draw(st.sampled_from([0, directory]))
            content[data.draw(st.integers(first, len(content) - 1))] = data.draw(st.integers(0, 255))
        archive.write_bytes(content)
        try:
            with Bundle.open(archive) as bundle:
                assert bundle.id == Bundle.open(path / "bundle").id
        except BundleError:
            pass
