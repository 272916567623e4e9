"""A picture inside a tar, as a path that knows where its bytes lie. Knows nothing of labels and data sets.

`shards/train-000.tar/cat/0001.jpg` is its name wherever a path is sorted, shown or written down. Whoever gets
it, another process too, reads it with one seek: no tar is unpacked, and no index of it need be kept.
"""

import sys
from pathlib import Path, PosixPath, PurePath, WindowsPath

# pathlib gives a path of the system's own class, and only that can be subclassed on Python 3.11.
if sys.platform == "win32":
    _Native = WindowsPath
else:
    _Native = PosixPath

BLOCK = 512
_SIZE = slice(124, 136)  # of a header: octal digits


class Moved(OSError):
    """A tar no longer has what was found there."""


class Member(_Native):
    """A regular file of a tar; a path made from it, such as its `parent`, is a path like any other.

    tar: the archive. offset: of its first byte in the tar. bytes: how many there are.
    """

    __slots__ = ("bytes", "offset", "tar")

    tar: Path
    offset: int
    bytes: int

    def with_segments(self, *segments: "str | PurePath") -> Path:
        """Make derived paths, from Python 3.12 on."""
        return Path(*segments)

    def __reduce__(self) -> tuple[object, tuple[str, str, int, int]]:
        """Take the place along to another process."""
        name = str(PurePath(self).relative_to(self.tar))
        return member, (str(self.tar), name, self.offset, self.bytes)


def member(tar: Path | str, name: str, offset: int, size: int) -> Member:
    """Name so many bytes of a tar; a leading slash or dot of the name does not count."""
    made = Member(tar, name.lstrip("/"))
    made.tar, made.offset, made.bytes = tar if isinstance(tar, Path) else Path(tar), offset, size
    return made


def read_member(path: Member) -> bytes:
    """Read the bytes of a picture, so that no handle outlives this call.

    Raises:
        Moved: they are no longer there.
        OSError: the tar cannot be read.
    """
    with path.tar.open("rb") as file:
        file.seek(path.offset - BLOCK)
        header, data = file.read(BLOCK), file.read(path.bytes)
    if len(data) != path.bytes or _size(header) != path.bytes:
        raise Moved(f"{path.tar} has changed since it was listed")
    return data


def _size(header: bytes) -> int | None:
    digits = header[_SIZE].strip(b"\0 ")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        return None
