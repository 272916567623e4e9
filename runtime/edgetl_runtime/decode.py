"""From a picture in any form that users have to 8-bit pixels, with one defined meaning for every kind.

Knows nothing about models: crop, size and filter belong to `preprocess`. A picture is untrusted input, so the
file's size and the pixels that its header claims are checked before anything is decoded.
"""

import os
import stat
import struct
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import DatasetError, InputError, PictureError
from edgetl_runtime.markers import refuse_endless_jpeg
from edgetl_runtime.member import Member, read_member
from edgetl_runtime.pillow import COPY_AGAIN, FORMATS, MAX_PIXELS, SAVE_AGAIN, pillow, too_many_pixels

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

PictureSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image | NDArray[np.uint8]"
)

Channels = Literal["rgb", "bgr"]

MAX_FILE_BYTES = 256 * 2**20

_KINDS = "Give a path, encoded bytes, a binary file, a PIL image or an array."
_JPEG = b"\xff\xd8\xff"
_ORIENTATION_TAG = 0x0112


def open_picture(source: PictureSource, channels: Channels = "rgb") -> "Image":
    """Open a picture without decoding its pixels; its content tells the format, never its name.

    Args:
        source: a path, the bytes of a file, a binary file, which is read to its end, a PIL image, or an array
            of uint8: (height, width, 3) RGB, (height, width, 4) RGB and alpha, (height, width) or
            (height, width, 1) grey.
        channels: the order of the colours in an array, "bgr" as OpenCV gives them; files know their own.

    Raises:
        InputError: `channels` is neither "rgb" nor "bgr".
        PictureError: neither JPEG, PNG, WEBP, BMP, TIFF, GIF nor PPM, or above 256 MiB or 178,956,970 pixels;
            or `source` is of another kind.
    """
    from PIL import Image

    if channels not in get_args(Channels):
        raise InputError(f"channels must be one of {get_args(Channels)}, got {channels!r}.")
    if isinstance(source, np.ndarray):
        return _from_array(source, channels)
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return _open_bytes(bytes(source), "<bytes>")
    if isinstance(source, str | os.PathLike):
        path = source if isinstance(source, Path) else Path(source)
        return _open_bytes(read_file(path), str(source))
    return _open_file(source)


def read_file(path: Path) -> bytes:
    """Read a picture's file, or its part of a tar, whole, so that no handle outlives this call."""
    try:
        if isinstance(path, Member):
            _refuse_size(path, path.bytes)
            return read_member(path)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(str(path), "is not a file", "Give the path of a picture.")
        _refuse_size(path, status.st_size)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PictureError(str(path), "does not exist", "Check the path.") from error
    except NotADirectoryError as error:  # a tar's name in place of a folder's
        return read_file(_found(path, error))
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise PictureError(
            str(path), f"cannot be read ({error})", "Check the path and its permissions."
        ) from error


def _refuse_size(path: Path, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise PictureError(str(path), f"has {size} bytes, more than {MAX_FILE_BYTES}", SAVE_AGAIN)


def _found(path: Path, error: OSError) -> Member:
    """Find a picture that is named as a member of a tar, such as `shards/0.tar/cat/1.jpg`."""
    from edgetl_runtime.tars import find_member

    try:
        found = find_member(path)
    except (DatasetError, OSError) as damage:
        raise PictureError(str(path), f"cannot be read ({damage})", "Check the tar.") from damage
    if found is None:
        raise PictureError(
            str(path), f"cannot be read ({error})", "Check the path; inside a tar, names are exact."
        ) from error
    return found


def shrink(image: "Image", shorter: int) -> tuple[float, float] | None:
    """Let an undecoded JPEG be decoded at 1/2, 1/4 or 1/8, its shorter side no less than `shorter`.

    Returns:
        The width and height that the picture then covers, or None where nothing was set. They may end inside
        the last pixel: 1283 columns at 1/4 cover 320.75 of 321.
    """
    drafted = image.draft(image.mode, (shorter, shorter))
    return None if drafted is None else drafted[1][2:]


def to_eight_bits(image: "Image") -> "Image":
    """Decode to mode RGB, or to L where the picture is grey and opaque, not yet turned upright.

    What each kind means, in training and on every device: of an animation, its first frame. Alpha, also in
    palettes, is laid on white. CMYK, YCbCr, HSV and palettes become RGB as in Pillow. 16-bit grey is divided
    by 256, and 1 bit is black or white. Floating point and Lab are refused, since their range is undefined.
    """
    with pillow(_name(image)):
        image.load()
        if image.mode in ("F", "LAB"):
            raise PictureError(_name(image), f"has pixels of kind {image.mode!r}", SAVE_AGAIN)
        if image.mode.startswith("I"):
            return _from_sixteen_bits(image)
        if image.has_transparency_data:
            return _on_white(image)
        if image.mode in ("RGB", "L"):
            return image
        return image.convert("L" if image.mode == "1" else "RGB")


def to_rgb(image: "Image") -> "Image":
    """Decode to mode RGB, with the meanings of `to_eight_bits`."""
    decoded = to_eight_bits(image)
    return decoded if decoded.mode == "RGB" else decoded.convert("RGB")


def orientation(image: "Image") -> int:
    """Read the EXIF orientation, 1 to 8, of a decoded image; Pillow turns TIFF itself and then has none.

    XMP does not count, since only some versions of Pillow read it. Damaged EXIF counts as none.
    """
    from PIL.Image import Exif

    data = image.info.get("exif")
    if data is None:
        return 1
    exif = Exif()
    try:
        with pillow(_name(image)):
            exif.load(data)
            value = exif.get(_ORIENTATION_TAG, 1)
    except PictureError:
        return 1
    return value if value in range(1, 9) else 1


def turn(image: "Image", orientation: int) -> "Image":
    """Turn and flip an image upright."""
    from PIL.Image import Transpose

    methods = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image if orientation == 1 else image.transpose(methods[orientation])


def check_decodable(data: bytes, name: str) -> None:
    """Decode a picture as cheaply as its format allows, for the errors alone.

    A file that ends too early is found. Bytes damaged in the middle of a JPEG are not: decoders accept them.
    """
    image = _open_bytes(data, name)
    shrink(image, 1)
    to_eight_bits(image)


def _open_bytes(data: bytes, name: str) -> "Image":
    if not data:
        raise PictureError(name, "is empty", COPY_AGAIN)
    if data.startswith(_JPEG):
        refuse_endless_jpeg(data, name)
    with pillow(name):
        image = _open_jpeg(data) if data.startswith(_JPEG) else _open_any(data)
    image.filename = name
    if image.width * image.height > MAX_PIXELS:
        raise too_many_pixels(name)
    return image


def _open_file(file: BinaryIO) -> "Image":
    """Open what is left of a binary file, or refuse what is none: a camera gives None for a lost frame."""
    if not hasattr(file, "read"):
        raise PictureError(f"<{type(file).__name__}>", "is of no kind that can be read", _KINDS)
    name = str(getattr(file, "name", "<file>"))
    try:
        data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise PictureError(name, f"cannot be read ({error})", "Check where it comes from.") from error
    if not isinstance(data, bytes):
        raise PictureError(name, "was opened as text", "Open it in mode 'rb'.")
    if len(data) > MAX_FILE_BYTES:
        raise PictureError(name, f"has more than {MAX_FILE_BYTES} bytes", SAVE_AGAIN)
    return _open_bytes(data, name)


def _open_jpeg(data: bytes) -> "ImageFile":
    """Open a JPEG by its plugin alone: the others take a device 40 ms to import, which it may never need."""
    from PIL import UnidentifiedImageError
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        return JpegImageFile(BytesIO(data))
    except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open has it
        raise UnidentifiedImageError(str(error)) from error


def _open_any(data: bytes) -> "ImageFile":
    # With these plugins registered, Pillow does not import its forty others at the first unknown file.
    from PIL import (  # noqa: F401  (imported to be registered)
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    return Image.open(BytesIO(data), formats=FORMATS)


def _from_array(array: NDArray[np.uint8], order: Channels) -> "Image":
    from PIL import Image

    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        allowed = "Give uint8 of shape (height, width, 3) RGB, (…, 4) RGB and alpha, or (height, width) grey."
        raise PictureError("<array>", f"has dtype {array.dtype} and shape {array.shape}", allowed)
    if channels == 1:
        return Image.fromarray(array.reshape(array.shape[:2]))
    return Image.fromarray(array if order == "rgb" else array[:, :, [2, 1, 0, 3][:channels]])


def _from_sixteen_bits(image: "Image") -> "Image":
    from PIL import Image

    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise PictureError(_name(image), "has grey values outside 16 bits", SAVE_AGAIN)
    return Image.fromarray((values >> 8).astype(np.uint8))


def _on_white(image: "Image") -> "Image":
    from PIL import Image

    pixels = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(pixels, mask=pixels)
    return canvas


def _name(image: "Image") -> str:
    return str(getattr(image, "filename", "") or "<image>")
