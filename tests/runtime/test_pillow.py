"""Pillow's warnings stay inside, whatever the threads do, and only its own."""

import io
import threading
import warnings

import pytest
from PIL import Image
from runtime_factories import png_header

from edgetl_runtime.decode import open_picture
from edgetl_runtime.errors import PictureError
from edgetl_runtime.pillow import _QUIET, pillow


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("image file is truncated (3 bytes not processed)"), "is truncated"),
        (EOFError(), "is truncated"),
        (SyntaxError("broken PNG file"), "is damaged (broken PNG file)"),
        (ValueError("x" * 200), f"is damaged ({'x' * 100})"),
        (Image.DecompressionBombError(), "has more than 178,956,970 pixels"),
        (MemoryError(), "does not fit in memory"),
        (PictureError("a.png", "is odd"), "is odd"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_pillow_raises_becomes_a_reason(error, reason):
    with pytest.raises(PictureError) as caught, pillow("a.png"):
        raise error
    assert (caught.value.picture, caught.value.reason) == ("a.png", reason)


def test_an_interrupt_passes_through():
    with pytest.raises(KeyboardInterrupt), pillow("a.png"):
        raise KeyboardInterrupt


def test_a_large_picture_within_the_limit_opens_without_a_warning():
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(png_header(10_000, 10_000)))
    assert open_picture(png_header(10_000, 10_000)).size == (10_000, 10_000)


def test_two_threads_inside_pillow_at_once_leave_the_warning_filters_as_they_were():
    before = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def stay_inside() -> None:
        with _QUIET:
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=stay_inside)
    other.start()
    inside.wait(10)
    assert open_picture(png_header(10_000, 10_000)).size == (10_000, 10_000)
    with _QUIET:
        leave.set()
        other.join()
        assert open_picture(png_header(10_000, 10_000)).size == (10_000, 10_000)
    assert warnings.filters == before


def test_warnings_of_others_are_not_silenced():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with _QUIET:
            warnings.warn("ours", stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["ours"]
