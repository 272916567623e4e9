"""The pictures of the training benchmarks, as CSV files: path, label, split; from what packages carry.

solar-cells-N: 2,624 photographs, split by blocks with seed N. fashion-N: Fashion-MNIST, N training pictures,
val of the same size up to 2,000, and all 10,000 test pictures. pictograms: the emoji of two vendors in six
classes; both drawings of one emoji go to the same split, by the hash of its code. hues: noise with one of
four casts of colour, which random features of the first stages know better than pretrained last ones.
"""

import csv
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import fashion
from edgetl.solar_cells import solar_cells_csv

_VENDORS = ("google", "twitter")  # npm packages emoji-datasource-*: MIT; drawings Apache-2.0 and CC BY 4.0
_GROUPS = {
    "Animals & Nature": "animals",
    "Food & Drink": "food",
    "Travel & Places": "travel",
    "Objects": "objects",
    "Activities": "activities",
    "Symbols": "symbols",
}
_SIDE_OF_A_HUE, _OF_A_HUE = 64, {"train": 100, "val": 100, "test": 250}
Row = tuple[str, str, str]


def make_set(name: str, folder: Path) -> Path:
    """Return the CSV file of a set; makes it in `folder` if it is not there."""
    folder = folder.resolve()
    out = folder / f"{name}.csv"
    if out.exists():
        return out
    folder.mkdir(parents=True, exist_ok=True)
    kind, _, number = name.rpartition("-")
    if kind == "solar-cells":
        return solar_cells_csv(out, int(number))
    if kind == "fashion":
        return _write(out, _fashion(folder, int(number)))
    if name == "pictograms":
        return _write(out, _pictograms(folder))
    if name == "hues":
        return _write(out, _hues(folder))
    raise ValueError(f"There is no set {name!r}: solar-cells-SEED, fashion-N, pictograms or hues.")


def _write(out: Path, rows: Iterable[Row]) -> Path:
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return out


def _fashion(folder: Path, count: int) -> Iterable[Row]:
    validation = min(count, 2_000)
    for part, pieces in (
        ("train", {"train": slice(0, count), "val": slice(50_000, 50_000 + validation)}),
        ("test", {"test": slice(0, 10_000)}),
    ):
        pixels, labels = fashion.arrays(folder, part)
        for split, chosen in pieces.items():
            for number in range(*chosen.indices(len(labels))):
                path = folder / "fashion" / part / f"{number:05}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    Image.fromarray(pixels[number]).save(path)
                yield str(path), f"class-{labels[number]}", split


def _pictograms(folder: Path) -> Iterable[Row]:
    for vendor in _VENDORS:
        package = _unpacked_npm(folder, f"emoji-datasource-{vendor}")
        for emoji in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
            drawing = package / "img" / vendor / "64" / emoji["image"]
            if emoji["category"] in _GROUPS and drawing.exists():
                path = _on_white(drawing, folder / "pictograms" / vendor / emoji["image"])
                yield str(path), _GROUPS[emoji["category"]], _split(emoji["unified"])


def _hues(folder: Path) -> Iterable[Row]:
    generator = np.random.default_rng(0)
    casts = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (0, 0, 0)}
    for split, count in _OF_A_HUE.items():
        for number in range(count * len(casts)):
            name = tuple(casts)[number % len(casts)]
            noise = generator.integers(0, 200, (_SIDE_OF_A_HUE, _SIDE_OF_A_HUE, 3))
            pixels = noise + generator.integers(2, 30) * np.array(casts[name])
            path = folder / "hues" / f"{split}-{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            yield str(path), name, split


def _on_white(drawing: Path, path: Path) -> Path:
    """Lay a drawing on white, so that all trainers see the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(drawing) as found:
            layer = found.convert("RGBA")
        Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB").save(path)
    return path


def _split(code: str) -> str:
    share = int(hashlib.sha256(code.encode()).hexdigest()[:8], 16) / 2**32
    return "train" if share < 0.55 else "val" if share < 0.7 else "test"


def _unpacked_npm(folder: Path, package: str) -> Path:
    place = folder / package
    if not place.exists():
        packed = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True
        )
        archive = folder / packed.stdout.decode().strip()
        shutil.unpack_archive(archive, place)
        archive.unlink()
    return place / "package"
