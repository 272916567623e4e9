"""JPEG by simplejpeg where it is installed (extra `fast`): to the bit the pixels of Pillow, in less time.

Both call libjpeg-turbo with the accurate transform and smooth upsampling. The tests hold them against one
another: in grey, 4:4:4, 4:2:2, 4:2:0, 4:4:0 and 4:1:1, sequential and progressive, at 1/1, 1/2, 1/4 and 1/8.
Left to Pillow: CMYK, since its inks are Pillow's to interpret; pictures below 8 pixels, where one size may be
that of two scales; whatever simplejpeg complains about, so that errors, and how much damage is tolerated, are
those of Pillow everywhere.
"""

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

_LEAST_SIDE = 8
# RGBX lies in memory as Pillow keeps RGB, so that it is taken over without a copy.
_TARGETS = {"RGB": ("RGBX", "RGBX"), "L": ("GRAY", "L")}


def decode_fast(image: "Image") -> "Image | None":
    """Decode a JPEG that `open_picture` opened from bytes, at the scale that was set by `shrink`.

    Returns:
        Mode RGBX or L, or None where Pillow is to decode it.
    """
    data = getattr(image, "fp", None)
    if not (isinstance(data, BytesIO) and image.format == "JPEG" and image.mode in _TARGETS):
        return None
    library = _simplejpeg()
    if library is None or min(image.size) < _LEAST_SIDE:
        return None
    from PIL import Image as Pillow

    colours, mode = _TARGETS[image.mode]
    width, height = image.size
    try:
        pixels = library.decode_jpeg(data.getvalue(), colours, min_height=height, min_width=width)
    except ValueError:
        return None
    if pixels.shape[:2] != (height, width):
        return None
    return Pillow.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)


@cache
def _simplejpeg() -> Any:  # simplejpeg's own types say Any
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
