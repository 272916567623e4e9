import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_bundle import edit_manifest, tiny_bundle, zip_folder

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import BundleError
from edgetl_runtime.manifest import Manifest


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as error:
        Bundle.open(path)
    return str(error.value)


def test_a_folder_opens(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    with Bundle.open(folder) as bundle:
        assert bundle.manifest == Manifest.from_json((folder / "manifest.json").read_text(encoding="utf-8"))
        assert bundle.id == bundle.manifest.hash
        assert bundle.path("onnx/model.onnx") == folder.resolve() / "onnx/model.onnx"
    assert folder.exists()


def test_only_files_of_the_manifest_have_a_path(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "bundle"))
    for name in ("../outside", "/etc/passwd", "manifest.json", "onnx"):
        with pytest.raises(BundleError, match="The bundle has no file"):
            bundle.path(name)


def test_the_text_of_the_manifest_may_be_laid_out_otherwise(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    before = Bundle.open(folder).id
    edit_manifest(folder, lambda value: None)
    assert Bundle.open(folder).id == before


def test_a_folder_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tiny_bundle(tmp_path / "bundle"))
    assert Bundle.open(tmp_path / "link").root == (tmp_path / "bundle").resolve()


def replace_by_link(file: Path) -> None:
    shutil.move(file, file.parent.parent.parent / "outside")
    file.symlink_to(file.parent.parent.parent / "outside")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: flip_a_byte(folder / "openvino/model.bin"),
            "'openvino/model.bin' was changed: its SHA-256 is not the manifest's",
        ),
        (lambda folder: (folder / "onnx/model.onnx").unlink(), "'onnx/model.onnx' is missing"),
        (lambda folder: shutil.rmtree(folder / "cases"), "'cases/jpeg.bin' is missing; 'cases/large.bin' is"),
        (lambda folder: (folder / "x.py").touch(), "'x.py' is not in the manifest"),
        (lambda folder: (folder / "cases/.hidden").touch(), "'cases/.hidden' is not in the manifest"),
        (
            lambda folder: os.truncate(folder / "openvino/model.bin", 7),
            "'openvino/model.bin' has 7 bytes where",
        ),
        (
            lambda folder: replace_by_link(folder / "onnx/model.onnx"),
            "'onnx/model.onnx' is not a regular",
        ),
        (lambda folder: (folder / "more").symlink_to("/"), "'more' is not a regular file"),
        (lambda folder: os.mkfifo(folder / "pipe"), "'pipe' is not a regular file"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    damage(folder)
    text = refusal(folder)
    assert text.startswith(f"The bundle {str(folder)!r} is not sound: ")
    assert message in text
    assert text.endswith("Copy it again from where it was made.")


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_all_complaints_come_at_once_up_to_ten(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    for number in range(12):
        (folder / f"extra{number:02}").touch()
    assert "'extra09' is not in the manifest; and 2 more. Copy" in refusal(folder)


def test_without_verification_only_the_hashes_are_left_out(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    flip_a_byte(folder / "openvino/model.bin")
    Bundle.open(folder, verify=False)
    os.truncate(folder / "openvino/model.bin", 7)
    with pytest.raises(BundleError, match="has 7 bytes"):
        Bundle.open(folder, verify=False)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"", "manifest is not valid JSON"),
        (b"\xff\xfe", "'manifest.json' must be UTF-8"),
        (b"[" * 100_000, "manifest is nested too deeply"),
        (b"[]", "manifest must be an object, got []."),
        (b'{"format_version": 9}', "made by a newer edgetl"),
        (b" " * (16 * 2**20 + 1), "must be a regular file of at most 16 MiB"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: bytes, message: str) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest)
    assert message in refusal(tmp_path)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "onnx\\model.onnx", "a/../../outside"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    edit_manifest(folder, lambda value: value["files"][0].update(path=path))
    assert refusal(folder).startswith(f"{str(folder)!r} cannot be opened: FileEntry.path must be relative")


def test_what_is_not_a_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a zip", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "none") == (
        f"There is no bundle at {str(tmp_path / 'none')!r}; it must be a folder or a zip."
    )
    assert "is not a bundle: it does not begin as a zip does." in refusal(text)
    assert "is not a bundle: it has no 'manifest.json' at its top." in refusal(tmp_path / "empty")


def test_a_folder_of_too_many_files_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgetl_runtime.bundle.MAX_FILES", 5)
    assert "holds more than 10 files" in refusal(tiny_bundle(tmp_path / "bundle"))


def test_what_the_system_refuses_is_a_bundle_error(tmp_path: Path) -> None:
    assert "cannot be read: " in refusal(tmp_path / ("x" * 5000))


def test_an_unpacked_zip_is_removed_when_closed(tmp_path: Path) -> None:
    with Bundle.open(zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "b.zip")) as bundle:
        assert bundle.path("onnx/model.onnx").is_file()
        assert bundle.id == Bundle.open(tmp_path / "bundle").id
        assert bundle.root.stat().st_mode & 0o777 == 0o700
    assert not bundle.root.exists()
    bundle.close()


def test_an_unpacked_zip_is_removed_when_forgotten(tmp_path: Path) -> None:
    bundle = Bundle.open(zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "b.zip"))
    root = bundle.root
    del bundle
    gc.collect()
    assert not root.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("end", ["close", "exit"])
def test_an_unpacked_zip_is_left_to_the_process_that_unpacked_it(tmp_path: Path, end: str) -> None:
    code = (
        "import os, sys\n"
        "from edgetl_runtime import Bundle\n"
        "bundle = Bundle.open(sys.argv[1])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    bundle.close() if sys.argv[2] == 'close' else None\n"
        "    sys.exit()\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert bundle.path('onnx/model.onnx').is_file()\n"
    )
    archive = zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "b.zip")
    (tmp_path / "temporary").mkdir()
    own = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    subprocess.run([sys.executable, "-c", code, archive, end], env=own, check=True, timeout=60)
    assert list((tmp_path / "temporary").iterdir()) == []
