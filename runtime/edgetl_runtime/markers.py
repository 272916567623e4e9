"""What a JPEG asks of its decoder, read from its markers: refuses what would keep one busy for minutes.

A scan of a few bytes is a pass over all pixels; a segment of four bytes is an object in memory.
Knows the marker syntax of JPEG (ITU T.81, annex B), and decodes nothing.
"""

import re

from edgetl_runtime.errors import PictureError
from edgetl_runtime.pillow import COPY_AGAIN, SAVE_AGAIN

# Encoders write up to about 20 scans; libtiff has the same limit.
MAX_SCANS = 100
# Large profiles and depth maps take hundreds of segments of 64 KiB.
MAX_SEGMENTS = 10_000
# Fill bytes between segments, which Pillow reads one by one; encoders write none.
MAX_FILL_BYTES = 2**16

_START_OF_SCAN, _END = 0xDA, 0xD9
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
# Stuffed bytes, restarts and fill bytes are no segments.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)


def refuse_endless_jpeg(data: bytes, name: str) -> None:
    """Raise a `PictureError` for a JPEG of too many scans or segments, before any decoder sees it."""
    components, scans, position = 0, 0, 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None or found[1][0] == _END:
            return
        if not scans and found.start() - position > MAX_FILL_BYTES:
            raise PictureError(name, "is damaged (no segment where one must begin)", COPY_AGAIN)
        code, start = found[1][0], found.end()
        position = start + int.from_bytes(data[start : start + 2])
        if code in _SEQUENTIAL:
            components = _byte(data, start + 7)
        elif code == _START_OF_SCAN:
            scans += 1
            if scans == 1 and components == _byte(data, start + 2):
                return  # All is in this one scan, and decoders read no further.
            if scans > MAX_SCANS:
                raise PictureError(name, f"has more than {MAX_SCANS} scans", SAVE_AGAIN)
    raise PictureError(name, f"has more than {MAX_SEGMENTS:,} segments", SAVE_AGAIN)


def _byte(data: bytes, place: int) -> int:
    return data[place] if place < len(data) else -1
