"""simplejpeg and Pillow give one picture: the same pixels at every scale, and the same errors."""

import io
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from runtime_factories import tiny_pixels

from edgetl_runtime import jpeg
from edgetl_runtime.decode import open_picture, shrink, to_eight_bits
from edgetl_runtime.errors import PictureError
from edgetl_runtime.jpeg import decode_fast
from edgetl_runtime.preprocess import Preprocess

simplejpeg = pytest.importorskip("simplejpeg")


def noisy(width: int, height: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-20, 21, (height, width, 3))
    return np.clip(tiny_pixels(width=width, height=height) + noise, 0, 255).astype(np.uint8)


def sequential(pixels: NDArray[np.uint8], subsampling: str) -> bytes:
    if subsampling == "Gray":
        return simplejpeg.encode_jpeg(pixels[:, :, :1].copy(), 90, "GRAY", "Gray")
    return simplejpeg.encode_jpeg(pixels, 90, "RGB", subsampling)


def saved(pixels: NDArray[np.uint8], **save: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, **save)
    return buffer.getvalue()


def both(data: bytes, shorter: int) -> tuple[Image.Image | None, Image.Image]:
    fast, slow = open_picture(data), open_picture(data)
    assert shrink(fast, shorter) == shrink(slow, shorter)
    return decode_fast(fast), to_eight_bits(slow)


def assert_equal(data: bytes, shorter: int) -> None:
    fast, slow = both(data, shorter)
    assert fast is not None
    assert fast.mode == {"RGB": "RGBX", "L": "L"}[slow.mode]
    np.testing.assert_array_equal(np.asarray(fast.convert(slow.mode)), np.asarray(slow))


@pytest.fixture
def pillow_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    jpeg._simplejpeg.cache_clear()
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    yield
    jpeg._simplejpeg.cache_clear()


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411", "Gray"])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize(("width", "height"), [(320, 240), (331, 243), (96, 67)])
def test_sequential_files_give_the_same_pixels(subsampling: str, scale: int, width: int, height: int) -> None:
    assert_equal(sequential(noisy(width, height), subsampling), height // scale)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_progressive_files_give_the_same_pixels(subsampling: int, scale: int) -> None:
    assert_equal(saved(noisy(331, 243), progressive=True, subsampling=subsampling), 243 // scale)


@pytest.mark.parametrize("save", [{"keep_rgb": True}, {"restart_marker_rows": 2}, {"optimize": True}])
def test_rgb_inside_and_restart_markers_give_the_same_pixels(save: dict[str, object]) -> None:
    assert_equal(saved(noisy(331, 243), **save), 60)


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(1, 90), st.sampled_from(["444", "420", "Gray"]))
def test_any_size_gives_the_same_pixels_or_is_left_to_pillow(
    width: int, height: int, shorter: int, subsampling: str
) -> None:
    data = sequential(noisy(width, height), subsampling)
    fast, slow = both(data, shorter)
    assert (fast is None) == (min(slow.size) < 8)
    if fast is not None:
        np.testing.assert_array_equal(np.asarray(fast.convert(slow.mode)), np.asarray(slow))


def test_cmyk_and_other_formats_are_left_to_pillow() -> None:
    inks = io.BytesIO()
    Image.new("CMYK", (64, 64), (0, 255, 255, 0)).save(inks, "JPEG")
    png = io.BytesIO()
    Image.fromarray(noisy(64, 64)).save(png, "PNG")
    assert decode_fast(open_picture(inks.getvalue())) is None
    assert decode_fast(open_picture(png.getvalue())) is None
    assert decode_fast(Image.fromarray(noisy(64, 64))) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=3), st.integers(0, 3000))
def test_damaged_files_end_as_they_do_in_pillow(damage: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(saved(noisy(120, 90)))
    for place, value in damage:
        data[place % len(data)] = value
    broken = bytes(data[: len(data) - cut % 40])
    try:
        image = open_picture(broken)
        slow = to_eight_bits(open_picture(broken))
    except PictureError:
        return
    if image.size != slow.size or (fast := decode_fast(image)) is None:
        return
    np.testing.assert_array_equal(np.asarray(fast.convert(slow.mode)), np.asarray(slow))


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_preprocessing_is_the_same_without_simplejpeg(orientation: int, pillow_alone: None) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(noisy(331, 243), exif=exif)
    preprocess = Preprocess(48, 0.9)
    slow = preprocess(data)
    assert decode_fast(open_picture(data)) is None
    jpeg._simplejpeg.cache_clear()
    sys.modules["simplejpeg"] = simplejpeg
    assert decode_fast(open_picture(data)) is not None
    np.testing.assert_array_equal(preprocess(data), slow)
