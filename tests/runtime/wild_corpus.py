"""Pictures as the world has them: all that Pillow writes, in every orientation, and all of it broken.

Made in memory, the same bytes from the same versions. Knows numpy and PIL only.
"""

import random
import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from runtime_factories import png_header, tiny_pixels

WIDTH, HEIGHT = 24, 18
MODES = (
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "RGBa",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
    "I;16B",
)
# Options that make other kinds of file of one format.
KINDS: dict[str, list[dict[str, Any]]] = {
    "JPEG": [
        {"progressive": True},
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2},
        {"restart_marker_rows": 1},
    ],
    "PNG": [{"compress_level": 0}, {"bits": 1}, {"bits": 4}, {"dpi": (72, 72)}, {"transparency": 0}],
    "TIFF": [
        {"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4")
    ],
    "WEBP": [{"lossless": True}, {"quality": 1}],
    "GIF": [{"interlace": 0}, {"transparency": 0}],
    "TGA": [{"compression": "tga_rle"}],
}
ORIENTED = ("JPEG", "PNG", "WEBP", "TIFF")
ORIENTATIONS = (*range(10), 65_535)
FIXED_DATES = {"PDF": {"creationDate": time.gmtime(0), "modDate": time.gmtime(0)}}
CUTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
FLIPS = 6


def wild_corpus() -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes: whole files, then each with its broken variants, then hostile ones."""
    whole = dict(_whole())
    yield from whole.items()
    for number, (name, data) in enumerate(whole.items()):
        for kind, broken in _broken(data, random.Random(number)):
            yield f"{name}-{kind}", broken
    yield from _hostile(whole)


def _whole() -> Iterator[tuple[str, bytes]]:
    Image.init()
    for kind in sorted(Image.SAVE):
        for mode in MODES:
            for number, options in enumerate([{}, *KINDS.get(kind, [])]):
                data = _saved(kind, mode, options) if _fits(mode, options) else b""
                if data:
                    yield f"{kind}-{mode.replace(';', '')}-{number}", data
    for kind in ORIENTED:
        for orientation in ORIENTATIONS:
            exif = Image.Exif()
            exif[0x0112] = orientation
            yield f"{kind}-orientation-{orientation}", _saved(kind, "RGB", {"exif": exif})
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        frames = [Image.fromarray(tiny_pixels(seed, width=WIDTH, height=HEIGHT)) for seed in range(3)]
        yield f"{kind}-frames", _bytes(frames[0], kind, {"save_all": True, "append_images": frames[1:]})
    for width, height in ((1, 1), (1, 400), (400, 1), (2, 3)):
        picture = Image.fromarray(tiny_pixels(width=width, height=height))
        for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"):
            yield f"{kind}-{width}x{height}", _bytes(picture, kind, {})


def _fits(mode: str, options: dict[str, Any]) -> bool:
    """Leave out what libtiff would only complain about, on stderr."""
    if options.get("compression") == "group4":
        return mode == "1"
    return options.get("compression") != "jpeg" or mode in ("L", "RGB")


def _saved(kind: str, mode: str, options: dict[str, Any]) -> bytes:
    """Return a file, or nothing where Pillow does not write this mode in this format."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _bytes(_picture(mode), kind, {**FIXED_DATES.get(kind, {}), **options})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, struct.error):
            return b""


def _picture(mode: str) -> Image.Image:
    pixels = tiny_pixels(width=WIDTH, height=HEIGHT)
    if mode in ("I;16", "I;16B"):
        return Image.frombytes(mode, (WIDTH, HEIGHT), pixels.tobytes()[: 2 * WIDTH * HEIGHT])
    if mode == "LAB":  # Converted, it differs a little from one call to the next.
        return Image.frombytes(mode, (WIDTH, HEIGHT), pixels.tobytes())
    picture = Image.fromarray(pixels)
    for step in {"PA": ("P", "PA"), "La": ("LA", "La"), "RGBa": ("RGBA", "RGBa")}.get(mode, (mode,)):
        picture = picture.convert(step)
    return picture


def _bytes(picture: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _broken(data: bytes, random: random.Random) -> Iterator[tuple[str, bytes]]:
    for share in CUTS:
        yield f"cut-{share}", data[: int(share * len(data))]
    for number in range(FLIPS):
        changed = bytearray(data)
        # Half of the flips go into the header, where they mean most.
        end = min(len(data), 64) if number % 2 else len(data)
        for _ in range(1 + number):
            changed[random.randrange(end)] ^= 1 << random.randrange(8)
        yield f"flip-{number}", bytes(changed)
    half = len(data) // 2
    yield "zeros", data[:half] + bytes(len(data) - half)
    yield "twice", data + data


def _hostile(whole: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    jpeg, gif = whole["JPEG-RGB-0"], whole["GIF-P-0"]
    yield "empty", b""
    yield "zero-bytes", bytes(4_096)
    yield "text", b"hello\n" * 100
    yield "noise", np.random.default_rng(0).bytes(4_096)
    yield "jpeg-and-zip", jpeg + b"PK\x03\x04" + bytes(100)
    yield "jpeg-and-png", jpeg + whole["PNG-RGB-0"]
    yield "gif-and-script", gif + b"=1;/*<script>alert(1)</script>*/"
    yield "script-in-comment", jpeg[:2] + b"\xff\xfe\x00\x20" + b"<?php system($_GET['c']); ?>  " + jpeg[2:]
    for side in (50_000, 2**31 - 1, 2**32 - 1):
        yield f"png-claims-{side}", png_header(side, side)
        yield f"ppm-claims-{side}", b"P6 %d %d 255\n" % (side, side) + bytes(64)
        yield f"bmp-claims-{side}", _bmp(side)
        yield f"gif-claims-{side}", b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + gif[10:]
    progressive = _bytes(Image.new("L", (4_000, 4_000)), "JPEG", {"progressive": True})
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    yield "jpeg-of-many-scans", progressive[:-2] + 1_000 * last_scan + progressive[-2:]
    for name, filler in (("segments", b"\xff\xfe\x00\x02"), ("fill", b"\xff"), ("restarts", b"\xff\xd0")):
        yield f"jpeg-of-many-{name}", jpeg[:2] + 2_000_000 * filler + jpeg[2:]
    text = b"tEXt" + b"a\0" + bytes(64)
    bomb = b"zTXt" + b"a\0\0" + zlib.compress(bytes(64 * 2**20))
    for name, chunk in (("text", text), ("text-bomb", bomb)):
        packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        yield f"png-{name}", whole["PNG-RGB-0"][:33] + packed + whole["PNG-RGB-0"][33:]


def _bmp(side: int) -> bytes:
    size = side & 0x7FFFFFFF
    return (
        b"BM"
        + struct.pack("<IHHI", 118, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, size, size, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(64)
    )
