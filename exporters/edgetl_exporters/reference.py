"""Reference cases: pictures made up for the purpose, so that a bundle carries no picture of anybody.

Each is an encoded file with the pixels that preprocessing must give for it. Together they tell a device that
swaps colours, ignores orientation, misreads grey or resizes otherwise: colours and shapes have no symmetry,
and every picture is larger than the network's input.

The reference logits are stored per variant, as the engine measured them when the variant was verified. The
question of the proof is whether a device computes what was verified, to rounding; int8 differs from float by
far more than that, so one set of float logits would need a tolerance behind which broken devices could hide.
Whether int8 is good enough is the contract's question, answered on real pictures.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgetl_exporters.model import Floats, Pixels
from edgetl_runtime.manifest import Case
from edgetl_runtime.preprocess import Preprocess

_ROTATED = 6
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceCase:
    """A case with its files: picture as encoded, pixels (size, size, 3) as preprocessing gave them."""

    case: Case
    picture: bytes
    pixels: Pixels

    def files(self) -> dict[str, bytes]:
        """Return the files of the bundle by their paths."""
        return {
            self.case.picture: self.picture,
            self.case.pixels: _encode(Image.fromarray(self.pixels), "PNG"),
        }


def reference_cases(preprocess: Preprocess) -> tuple[ReferenceCase, ...]:
    """Make the cases for a preprocessing; equal ones give equal bytes."""
    side = preprocess.size
    drawn = {
        "jpeg": _encode(_picture(1, 3 * side // 2, 5 * side // 4), "JPEG"),
        "png": _encode(_picture(2, 5 * side // 4, 4 * side // 3), "PNG"),
        "rotated": _encode(_picture(3, 4 * side // 3, 3 * side // 2), "JPEG", orientation=_ROTATED),
        "grey": _encode(_picture(4, 3 * side // 2, 4 * side // 3).convert("L"), "JPEG"),
        "large": _encode(_picture(5, 5 * side // 2, 9 * side // 4), "JPEG"),
        "dark": _encode(_picture(6, 5 * side // 4, 5 * side // 4).point(lambda level: level // 4), "JPEG"),
    }
    suffixes = {name: "png" if name == "png" else "jpg" for name in drawn}
    return tuple(
        ReferenceCase(
            Case(name, f"reference/{name}.{suffixes[name]}", f"reference/pixels/{name}.png"),
            data,
            preprocess(data),
        )
        for name, data in drawn.items()
    )


def encode_logits(logits: Floats) -> bytes:
    """Return the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(logits, np.float32), allow_pickle=False)
    return file.getvalue()


def _picture(seed: int, width: int, height: int) -> Image.Image:
    """Draw a smooth field of colours with blocks in three corners, each of another colour and size."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    # Inside the middle of the picture, so that no crop removes them.
    for colour, place, share in (
        ((255, 0, 0), (0.25, 0.25), 0.16),
        ((0, 255, 0), (0.62, 0.28), 0.11),
        ((0, 0, 255), (0.28, 0.65), 0.07),
    ):
        left, top, edge = int(place[0] * width), int(place[1] * height), int(share * height)
        image.paste(colour, (left, top, left + edge, top + edge))
    return image


def _encode(image: Image.Image, kind: str, *, orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[_ORIENTATION] = orientation
    file = io.BytesIO()
    options = {"quality": 92, "exif": exif} if kind == "JPEG" else {}
    image.save(file, kind, **options)
    return file.getvalue()
