"""Many different pictures of two classes, written once: small or like photographs, as files or in tars."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Kind: TypeAlias = Literal["small", "photos"]
CLASSES = ("class-0", "class-1")
_SIDE = 32
_PHOTO = (500, 375)
_A_FOLDER = 10_000
_A_SHARD = 1_000


def write_files(folder: Path, count: int, kind: Kind = "small") -> Path:
    """Write a folder of class folders; its path is where they are once all are there."""
    if not (folder / "done").exists():
        for number, label, data in _pictures(count, kind):
            place = folder / "data" / CLASSES[label] / f"{number // _A_FOLDER:03}"
            if number % _A_FOLDER < len(CLASSES):
                place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:07}.{_suffix(kind)}").write_bytes(data)
        (folder / "done").touch()
    return folder / "data"


def write_tars(folder: Path, count: int, kind: Kind = "small") -> Path:
    """Write the same pictures as shards of a thousand, with a `.cls` for each."""
    data = folder / "data"
    if not (folder / "done").exists():
        data.mkdir(parents=True, exist_ok=True)
        (data / "classnames.txt").write_text("\n".join(CLASSES), encoding="utf-8")
        pictures = _pictures(count, kind)
        for shard in range(-(-count // _A_SHARD)):
            with tarfile.open(data / f"all-{shard:06}.tar", "w") as tar:
                for _ in range(min(_A_SHARD, count - shard * _A_SHARD)):
                    number, label, picture = next(pictures)
                    _add(tar, f"{number:07}.{_suffix(kind)}", picture)
                    _add(tar, f"{number:07}.cls", str(label).encode())
        (folder / "done").touch()
    return data


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _suffix(kind: Kind) -> str:
    return "bmp" if kind == "small" else "jpg"


def _pictures(count: int, kind: Kind) -> Iterator[tuple[int, int, bytes]]:
    """Yield numbers, labels and files; a class is a brightness and much noise."""
    generator = np.random.default_rng(0)
    for number in range(count):
        label = number % len(CLASSES)
        pixels = generator.integers(40 * label, 200 + 40 * label, (8, 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        if kind == "small":
            Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.NEAREST).save(file, "BMP")
        else:
            _photo(pixels, generator).save(file, "JPEG", quality=90)
        yield number, label, file.getvalue()


def _photo(pixels: NDArray[np.uint8], generator: np.random.Generator) -> Image.Image:
    """Make soft fields with fine noise, which a JPEG needs as many bytes for as for a photograph."""
    soft = np.asarray(Image.fromarray(pixels).resize(_PHOTO, Image.Resampling.BICUBIC), np.int16)
    noise = generator.integers(-12, 13, (*soft.shape[:2], 1), dtype=np.int16)
    return Image.fromarray((soft + noise).clip(0, 255).astype(np.uint8))
