"""Pictures for the runtime's tests: small, asymmetric in colour, the same bytes from the same seed.

Whatever several test files of the runtime make belongs here. Knows numpy, PIL and edgetl_runtime only.
"""

import io
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def tiny_pixels(seed: int = 0, *, width: int = 48, height: int = 40) -> NDArray[np.uint8]:
    """A smooth colour field that no flip or turn maps onto itself: uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    coarse[0, 0], coarse[0, -1], coarse[-1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write_picture(path: Path, seed: int = 0, *, width: int = 48, height: int = 40, **save: Any) -> Path:
    """Write `tiny_pixels` in the format that the name says; further arguments go to `Image.save`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiny_pixels(seed, width=width, height=height)).save(path, **save)
    return path


def write_folders(root: Path, layout: dict[str, int]) -> Path:
    """Write a dataset: `{"train/cat": 3, "train/dog": 2}` gives that many different pictures per folder."""
    seed = 0
    for folder, count in layout.items():
        for number in range(count):
            seed += 1
            write_picture(root / folder / f"{number}.png", seed)
    return root


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has almost no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def write_tar(path: Path, files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    """Write a tar of these files, in their order, as stdlib's tarfile does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_shard(path: Path, samples: dict[str, tuple[bytes, str]]) -> Path:
    """Write a shard: `{"cat/0001.png": (picture, "3")}` gives the picture and its .cls."""
    files: dict[str, bytes] = {}
    for name, (data, label) in samples.items():
        files |= {name: data, f"{name.partition('.')[0]}.cls": label.encode()}
    return write_tar(path, files)


def shards_of(folder: Path, out: Path, shards: int = 2) -> Path:
    """Write the pictures of a folder of class folders into shards, with the names of the classes."""
    names = sorted({path.parent.name for path in folder.rglob("*.png")})
    splits = sorted({path.parent.parent.name for path in folder.rglob("*.png")} & {"train", "val", "test"})
    for split in splits or [""]:
        pictures = sorted((folder / split).rglob("*.png"))
        for number in range(min(shards, len(pictures))):
            chosen = {
                f"{one.parent.name}/{one.name}": (one.read_bytes(), str(names.index(one.parent.name)))
                for one in pictures[number::shards]
            }
            write_shard(out / f"{split or 'all'}-{number:03}.tar", chosen)
    (out / "classnames.txt").write_text("\n".join(names), encoding="utf-8")
    return out
