"""Preprocessing as data, with its one interpreter; training, calibration and every device call it.

Knows nothing about the network. What it gives is uint8; mean and standard deviation are inside the graph.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.decode import (
    Channels,
    PictureSource,
    open_picture,
    orientation,
    shrink,
    to_eight_bits,
    turn,
)
from edgetl_runtime.errors import BundleError, InputError
from edgetl_runtime.jpeg import decode_fast

if TYPE_CHECKING:
    from PIL.Image import Image

Filter = Literal["bilinear", "bicubic", "lanczos", "box"]
Step = dict[str, str | int | float | bool]

_STEP_KEYS: Mapping[str, Mapping[str, type]] = {
    "decode": {"mode": str, "orientation": str, "draft": bool},
    "center_crop": {"fraction": float},
    "resize": {"size": int, "filter": str},
}


class Decoded(NamedTuple):
    """A picture's pixels before crop and resize.

    image: in mode RGB, RGBX or L, not yet turned upright. covered: the width and height that the picture has
    on it, which may end inside the last pixel. orientation: as EXIF has it, 1 to 8.
    """

    image: "Image"
    covered: tuple[float, float]
    orientation: int


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Turn any picture into the square that the network sees.

    Args:
        size: side of that square in pixels, 32 to 1024.
        crop: side of the centred square that is kept, as a fraction of the picture's shorter side, in (0, 1].
        filter: Pillow's antialiasing filter.
        draft: let JPEG be decoded at 1/2, 1/4 or 1/8 where that keeps at least `size` pixels in the crop.
    """

    size: int
    crop: float = 0.875
    filter: Filter = "bicubic"
    draft: bool = True

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 32 <= self.size <= 1024:
            raise InputError(f"Preprocess.size must be an int in [32, 1024], got {self.size!r}.")
        if isinstance(self.crop, bool) or not isinstance(self.crop, int | float) or not 0 < self.crop <= 1:
            raise InputError(f"Preprocess.crop must be a number in (0, 1], got {self.crop!r}.")
        object.__setattr__(self, "crop", float(self.crop))  # 1 and 1.0 must give the same JSON.
        if self.filter not in get_args(Filter):
            raise InputError(f"Preprocess.filter must be one of {get_args(Filter)}, got {self.filter!r}.")
        if type(self.draft) is not bool:
            raise InputError(f"Preprocess.draft must be true or false, got {self.draft!r}.")

    def __call__(self, picture: PictureSource, *, channels: Channels = "rgb") -> NDArray[np.uint8]:
        """Decode, crop, resize and turn one picture.

        A PIL image or an array is a picture like any other and is cropped too; it is not shrunk while being
        decoded. Pixels that are already preprocessed belong in `Session.infer`.

        Args:
            channels: of an array: "rgb", or "bgr" as OpenCV gives it.

        Returns:
            (size, size, 3) uint8 RGB, C-contiguous. An array that needs no crop or resize comes back itself.
        """
        if isinstance(picture, np.ndarray) and self._is_done(picture) and channels == "rgb":
            return np.ascontiguousarray(picture)
        return self.resize(self.decode(picture, channels=channels))

    def decode(self, picture: PictureSource, *, channels: Channels = "rgb") -> Decoded:
        """Do the first step: read and decode a picture, JPEG no larger than the later steps need."""
        image = open_picture(picture, channels)
        is_ours = image is not picture  # A caller's lazily opened image must not be shrunk behind their back.
        covered = shrink(image, math.ceil(self.size / self.crop)) if self.draft and is_ours else None
        decoded = (decode_fast(image) if is_ours else None) or to_eight_bits(image)
        return Decoded(decoded, covered or decoded.size, orientation(image))

    def resize(self, decoded: Decoded) -> NDArray[np.uint8]:
        """Do the other steps: turn upright, then crop and resize in one pass.

        Returns:
            (size, size, 3) uint8 RGB: to the bit what an upright file gives.
        """
        from PIL.Image import Resampling

        upright = turn(decoded.image, decoded.orientation)
        box = self._box(upright.size, decoded.covered, decoded.orientation)
        square = upright.resize((self.size, self.size), Resampling[self.filter.upper()], box)
        coloured = square.convert("RGB") if square.mode == "L" else square
        # Packed while copied, in a third of the time of converting RGBX first. Bytes of our own: a view of
        # Pillow's is read-only, and torch.from_numpy warns about such arrays.
        pixels = np.frombuffer(bytearray(coloured.tobytes("raw", "RGB")), np.uint8)
        return pixels.reshape(self.size, self.size, 3)

    def to_steps(self) -> list[Step]:
        """Give the JSON form: named steps in the order in which they are defined to act."""
        return [
            {"op": "decode", "mode": "RGB", "orientation": "exif", "draft": self.draft},
            {"op": "center_crop", "fraction": self.crop},
            {"op": "resize", "size": self.size, "filter": self.filter},
        ]

    @classmethod
    def from_steps(cls, steps: object) -> "Preprocess":
        """Read the JSON form.

        Raises:
            BundleError: an unknown step or key, a missing one, or a value out of range.
        """
        decode, crop, resize = _checked(steps)
        for key, only in (("mode", "RGB"), ("orientation", "exif")):
            if decode[key] != only:
                raise BundleError(
                    f"Preprocess: step 'decode' allows {key} {only!r} only, got {decode[key]!r}."
                )
        try:
            return cls(resize["size"], crop["fraction"], resize["filter"], decode["draft"])
        except InputError as error:
            raise BundleError(f"The preprocessing steps are not valid: {error}") from error

    def _is_done(self, array: NDArray[np.uint8]) -> bool:
        return self.crop == 1 and array.dtype == np.uint8 and array.shape == (self.size, self.size, 3)

    def _box(
        self, size: tuple[int, int], covered: tuple[float, float], orientation: int
    ) -> tuple[float, float, float, float]:
        """Centre the square on what the picture covers: a shrunk JPEG may end inside its last column and row.

        Turning may bring these to the left (orientations 2, 3, 6 and 7) and to the top (3, 4, 7 and 8).
        """
        width, height = covered if orientation < 5 else covered[::-1]
        side = self.crop * min(covered)
        left = (width - side) / 2 + (size[0] - width if orientation in (2, 3, 6, 7) else 0)
        top = (height - side) / 2 + (size[1] - height if orientation in (3, 4, 7, 8) else 0)
        return left, top, left + side, top + side


def _checked(steps: object) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Check the shape of the JSON form: each known step once, in order, with its keys and their types."""
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise BundleError(f"Preprocess steps must be a list of objects, got {steps!r}.")
    ops = [step.get("op") for step in steps]
    if ops != list(_STEP_KEYS):
        raise BundleError(
            f"Preprocess steps must be {list(_STEP_KEYS)} in this order, got {ops!r}. "
            "A newer bundle needs a newer edgetl-runtime."
        )
    for step in steps:
        _check_keys(step)
    return steps[0], steps[1], steps[2]


def _check_keys(step: dict[str, Any]) -> None:
    types = _STEP_KEYS[step["op"]]
    got = set(step) - {"op"}
    if got != set(types):
        wrong = f"missing {sorted(set(types) - got)}, unknown {sorted(got - set(types))}"
        raise BundleError(f"Preprocess step {step['op']!r} has the keys {sorted(types)}: {wrong}.")
    for key, kind in types.items():
        allowed = (int, float) if kind is float else (kind,)
        if type(step[key]) not in allowed:
            raise BundleError(
                f"Preprocess step {step['op']!r}: {key} must be {kind.__name__}, got {step[key]!r}."
            )
