"""What lies where in a tar, from its headers alone. Knows nothing of keys and labels; unpacks nothing.

A tar that is compressed or damaged is refused whole, since nobody could say which pictures are lost.
"""

import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from edgetl_runtime.errors import DatasetError
from edgetl_runtime.member import BLOCK, Member, member

SUFFIX = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4", ".tar.z")
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_AHEAD = 2**20
_TARS_REMEMBERED = 8


class Entry(NamedTuple):
    """A file of a tar. offset: of its first byte. reason: why it cannot be read by its place, else empty."""

    name: str
    offset: int
    bytes: int
    reason: str = ""


def entries(tar: Path) -> Iterator[Entry]:
    """Yield the files of a tar in their order, links among them; memory does not grow with their number.

    Raises:
        DatasetError: the tar is compressed or damaged.
        OSError: it cannot be read.
    """
    with tar.open("rb") as file:
        _refuse_compressed(tar, file.read(8))
        file.seek(0)
        number, end = 0, -1
        try:
            with tarfile.TarFile(fileobj=file, errorlevel=2) as archive:
                while (info := archive.next()) is not None:
                    _forget(archive)
                    if archive.offset <= end or info.size < 0:
                        raise tarfile.ReadError("a header with a negative size")
                    number, end = number + 1, archive.offset
                    if not info.isdir():
                        yield Entry(info.name, info.offset_data, info.size, _reason(info))
                end = archive.offset
        except (tarfile.TarError, ValueError, IndexError, RecursionError) as error:
            raise _damaged(tar, number, str(error)) from error
        _refuse_more(tar, file, number, end)


def _forget(archive: tarfile.TarFile) -> None:
    """Drop what tarfile keeps of every member, a kilobyte each."""
    kept: list[tarfile.TarInfo] = vars(archive)["members"]
    kept.clear()


def find_member(path: Path) -> Member | None:
    """Find a picture by a name such as `shards/0.tar/cat/1.jpg`; None where no tar has it.

    Raises:
        DatasetError: the tar is compressed or damaged.
    """
    tar = _tar_of(path)
    if tar is None:
        return None
    status = tar.stat()
    return _remembered(tar, status.st_mtime_ns, status.st_size).get(_inside(path, tar))


def find_members(paths: Iterable[Path]) -> dict[Path, Member]:
    """Find pictures by their names, each tar being read once.

    Raises:
        DatasetError: a tar is compressed or damaged.
    """
    wanted: dict[Path, dict[str, Path]] = defaultdict(dict)
    known: dict[Path, Path | None] = {}
    for path in paths:
        tar = known[path.parent] if path.parent in known else known.setdefault(path.parent, _tar_of(path))
        if tar is not None:
            wanted[tar][_inside(path, tar)] = path
    found = ((asked, _members(tar, asked)) for tar, asked in wanted.items())
    return {asked[name]: one for asked, members in found for name, one in members.items()}


def _tar_of(path: Path) -> Path | None:
    return next((one for one in path.parents if one.suffix.lower() == SUFFIX and one.is_file()), None)


def _inside(path: Path, tar: Path) -> str:
    return path.relative_to(tar).as_posix()


def normal(name: str) -> str:
    """Write a name as a path inside the tar: `./a//b.jpg` and `/a/b.jpg` are `a/b.jpg`."""
    return PurePosixPath(name.lstrip("/")).as_posix()


def _members(tar: Path, asked: dict[str, Path] | None = None) -> dict[str, Member]:
    named = ((normal(one.name), one) for one in entries(tar) if not one.reason)
    return {
        name: member(tar, name, one.offset, one.bytes)
        for name, one in named
        if asked is None or name in asked
    }


@lru_cache(maxsize=_TARS_REMEMBERED)
def _remembered(tar: Path, modified_ns: int, size: int) -> dict[str, Member]:
    """List a tar once, as long as it is the same."""
    return _members(tar)


def _reason(info: tarfile.TarInfo) -> str:
    if info.islnk() or info.issym():
        return "is a link inside the tar (write the file itself: tar --dereference --hard-dereference)"
    if info.issparse():
        return "is stored with holes (write the tar without --sparse)"
    return "" if info.isreg() else "is no file inside the tar"


def _refuse_compressed(tar: Path, begin: bytes) -> None:
    for magic, kind in _MAGIC.items():
        if begin.startswith(magic):
            raise refusal_of_compressed(tar, kind)


def refusal_of_compressed(tar: Path, kind: str) -> DatasetError:
    """Say why a compressed tar is not read."""
    return DatasetError(
        f"{tar} is compressed ({kind}): no picture in it can be read without unpacking all before it. "
        "Pictures are compressed already: write a plain .tar once, with gzip -d, bzip2 -d, xz -d or zstd -d."
    )


def _refuse_more(tar: Path, file: BinaryIO, number: int, end: int) -> None:
    """Refuse a tar that does not end with zeros: tarfile takes a damaged header for the end."""
    file.seek(end)
    mark = file.read(BLOCK)
    if len(mark) < BLOCK:
        raise _damaged(tar, number, f"it ends at byte {end + len(mark):,} without the zeros that end a tar")
    if any(mark):
        raise _damaged(tar, number, f"no header at byte {end:,}")
    while rest := file.read(_AHEAD):
        if any(rest):
            raise _damaged(tar, number, f"more data after its end at byte {end:,}, as of tars put together")


def _damaged(tar: Path, number: int, what: str) -> DatasetError:
    return DatasetError(
        f"{tar} is damaged after {number:,} files ({what}), so that an unknown number of pictures is lost. "
        "Copy it again from where it is whole, write it again, or leave it out."
    )
