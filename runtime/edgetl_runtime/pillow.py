"""The border to Pillow: what it raises becomes a `PictureError`, and its warnings stay inside.

Knows what Pillow does on bad files, and nothing about what a picture means.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from edgetl_runtime.errors import PictureError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
MAX_PIXELS = 178_956_970

SAVE_AGAIN = "Save it as an 8-bit JPEG or PNG, or remove it."
SCALE_DOWN = "Scale it down, or remove it."
COPY_AGAIN = "Copy it again from its source, or remove it."


@contextmanager
def pillow(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into a `PictureError`, and keep its warnings in."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _QUIET:
            yield
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise too_many_pixels(name) from error
    except MemoryError as error:
        raise PictureError(name, "does not fit in memory", SCALE_DOWN) from error
    except UnidentifiedImageError as error:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise PictureError(name, f"is not a {known} file, or its header is damaged", SAVE_AGAIN) from error
    except Exception as error:  # Decoders raise OSError, SyntaxError, struct.error and more on damaged files.
        truncated = isinstance(error, EOFError) or "truncated" in str(error).lower()
        reason = "is truncated" if truncated else f"is damaged ({str(error)[:100]})"
        raise PictureError(name, reason, COPY_AGAIN) from error


def too_many_pixels(name: str) -> PictureError:
    return PictureError(name, f"has more than {MAX_PIXELS:,} pixels", SCALE_DOWN)


class _QuietPillow:
    """Silence Pillow's warnings while any thread is inside.

    `warnings.catch_warnings` alone would let two threads restore each other's filters; the count makes the
    first one in save them and the last one out restore them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_QUIET = _QuietPillow()
