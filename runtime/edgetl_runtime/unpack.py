"""From a zip to the files of a bundle: those that the manifest lists, once the zip's claims were compared.

Knows names and sizes; `bundle` checks the contents afterwards, as it does for a folder.
"""

import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from edgetl_runtime.contents import differences, refuse
from edgetl_runtime.errors import BundleError
from edgetl_runtime.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest

# Trained weights hardly shrink in a zip, so no real bundle comes near; below the floor is nothing to fear.
MAX_RATIO = 100
_RATIO_FLOOR_BYTES = 2**20
_FIRST_ENTRY = b"PK\x03\x04"
_COPY_AGAIN = "Copy it again from where it was made."

# All that zipfile raises, over Python's versions, where the structure or a stream of an archive is damaged.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def unpack(archive: Path, root: Path) -> None:
    """Unpack a bundle into the empty folder `root`.

    Raises:
        BundleError: the zip is damaged, or differs from its manifest; `root` may then hold a part of it.
    """
    _require_zip(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            _unpack(opened, archive, root)
    except _DAMAGED as error:
        message = f"{str(archive)!r} is not a bundle, or damaged: {error}. {_COPY_AGAIN}"
        raise BundleError(message) from error


def _require_zip(archive: Path) -> None:
    """Refuse what is something else before it is a zip: a picture with a bundle behind it, or a program."""
    with archive.open("rb") as file:
        start = file.read(4)
    if start != _FIRST_ENTRY:
        raise BundleError(f"{str(archive)!r} is not a bundle: it does not begin as a zip does. {_COPY_AGAIN}")


def _unpack(opened: zipfile.ZipFile, archive: Path, root: Path) -> None:
    name = str(archive)
    infos = [info for info in opened.infolist() if not info.is_dir()]
    refuse(name, _oddities(infos))
    entries = {info.filename: info for info in infos}
    manifest = Manifest.from_json(_manifest_text(opened, entries, name))
    refuse(name, differences(manifest, {path: info.file_size for path, info in entries.items()}))
    refuse(name, _bomb(infos, archive.stat().st_size))
    for path, info in entries.items():
        _extract(opened, info, root / path)


def _oddities(infos: list[zipfile.ZipInfo]) -> list[str]:
    """Return a complaint for everything that a bundle's zip has no need of."""
    complaints, seen = [], set()
    for info in infos:
        if info.filename in seen:
            complaints.append(f"{info.filename!r} appears twice in the zip")
        if stat.S_ISLNK(info.external_attr >> 16):
            complaints.append(f"{info.filename!r} is a symbolic link")
        if info.flag_bits & 0x1:
            complaints.append(f"{info.filename!r} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            complaints.append(f"{info.filename!r} is neither stored nor deflated")
        seen.add(info.filename)
    return complaints


def _manifest_text(opened: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> str:
    info = entries.get(MANIFEST_NAME)
    if info is None:
        nested = any(PurePosixPath(path).name == MANIFEST_NAME for path in entries)
        hint = " Zip the files themselves, not the folder around them." if nested else ""
        raise BundleError(f"{name!r} is not a bundle: it has no {MANIFEST_NAME!r} at its top.{hint}")
    if info.file_size > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{name!r}: {MANIFEST_NAME!r} must have at most 16 MiB, got {info.file_size} bytes."
        )
    return opened.read(info).decode("utf-8")


def _bomb(infos: list[zipfile.ZipInfo], archive_bytes: int) -> list[str]:
    # Entries may overlap, or claim more packed bytes than there are.
    packed = min(sum(info.compress_size for info in infos), archive_bytes)
    unpacked = sum(info.file_size for info in infos)
    if unpacked <= max(_RATIO_FLOOR_BYTES, MAX_RATIO * packed):
        return []
    return [f"it would grow from {packed} to {unpacked} bytes, above the limit of {MAX_RATIO} times"]


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # ZipFile.open gives no more bytes than the entry claims, and the claim was compared with the manifest.
    with opened.open(info) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
