"""Every kind of picture has one meaning, and a bad one is a `PictureError` with a reason."""

import io
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from runtime_factories import png_header, tiny_pixels, write_picture

from edgetl_runtime import decode
from edgetl_runtime.decode import (
    check_decodable,
    open_picture,
    orientation,
    shrink,
    to_eight_bits,
    to_rgb,
    turn,
)
from edgetl_runtime.errors import PictureError


def encoded(image: Image.Image | NDArray[Any], kind: str, **save: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **save)
    return buffer.getvalue()


def decoded(source: Any) -> list[Any]:
    return np.asarray(to_rgb(open_picture(source))).tolist()


def reason_of(source: Any) -> str:
    with pytest.raises(PictureError) as caught:
        to_rgb(open_picture(source))
    assert caught.value.remedy.endswith(".")
    return caught.value.reason


# What each kind of picture means.


@pytest.mark.parametrize(
    ("kind", "save"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}), ("WEBP", {"lossless": True})]
)
def test_a_lossless_rgb_file_gives_its_pixels(kind, save):
    assert decoded(encoded(tiny_pixels(), kind, **save)) == tiny_pixels().tolist()


def test_a_jpeg_gives_its_pixels_nearly():
    difference = np.abs(np.array(decoded(encoded(tiny_pixels(), "JPEG", quality=95))) - tiny_pixels())
    assert difference.mean() < 3


def test_alpha_is_laid_on_white():
    red = np.array([[[255, 0, 0, 0], [255, 0, 0, 51], [255, 0, 0, 255]]], np.uint8)
    assert decoded(encoded(red, "PNG")) == [[[255, 255, 255], [255, 204, 204], [255, 0, 0]]]


def test_grey_with_alpha_is_laid_on_white():
    pixels = Image.merge("LA", [Image.new("L", (1, 1), 0), Image.new("L", (1, 1), 51)])
    assert decoded(encoded(pixels, "PNG")) == [[[204, 204, 204]]]


def test_a_colour_declared_transparent_is_white():
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert decoded(encoded(pixels, "PNG", transparency=(1, 2, 3))) == [[[255, 255, 255], [4, 5, 6]]]


def palette_picture() -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_gives_its_colours(kind):
    assert decoded(encoded(palette_picture(), kind)) == [[[10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(kind):
    assert decoded(encoded(palette_picture(), kind, transparency=0)) == [[[255, 255, 255], [40, 50, 60]]]


def test_a_palette_with_graded_alpha_is_laid_on_white():
    graded = encoded(palette_picture(), "PNG", transparency=bytes([0, 255]))
    assert decoded(graded) == [[[255, 255, 255], [40, 50, 60]]]


def test_cmyk_becomes_rgb():
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert decoded(encoded(inks, "TIFF"))[0][0] == [255, 0, 0]
    assert np.allclose(decoded(encoded(inks, "JPEG", quality=95))[8][8], [255, 0, 0], atol=3)


def test_sixteen_bit_grey_is_divided_by_256():
    grey = np.array([[0, 255, 256, 65535]], np.uint16)
    portable = b"P5 4 1 65535\n" + grey.astype(">u2").tobytes()
    for data in (encoded(grey, "PNG"), encoded(grey, "TIFF"), portable):
        assert [pixel[0] for pixel in decoded(data)[0]] == [0, 0, 1, 255]


def test_big_endian_sixteen_bit_grey_means_the_same():
    data = encoded(Image.frombytes("I;16B", (2, 1), b"\x01\x00\xff\xff"), "TIFF")
    assert decoded(data) == [[[1, 1, 1], [255, 255, 255]]]


def test_sixteen_bit_grey_with_a_transparent_value_ignores_it():
    grey = np.array([[256, 512]], np.uint16)
    assert decoded(encoded(grey, "PNG", transparency=256)) == [[[1, 1, 1], [2, 2, 2]]]


def test_grey_beyond_sixteen_bits_is_refused():
    assert reason_of(encoded(np.array([[70000]], np.int32), "TIFF")) == "has grey values outside 16 bits"


def test_floating_point_and_lab_are_refused():
    assert reason_of(encoded(np.zeros((2, 2), np.float32), "TIFF")) == "has pixels of kind 'F'"
    assert reason_of(encoded(Image.new("LAB", (2, 2)), "TIFF")) == "has pixels of kind 'LAB'"


def test_one_bit_is_black_or_white():
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    assert decoded(encoded(bits, "PNG")) == [[[0, 0, 0], [255, 255, 255]]]


def test_grey_stays_one_channel_until_rgb_is_asked_for():
    image = open_picture(encoded(np.array([[7]], np.uint8), "PNG"))
    assert to_eight_bits(image).mode == "L"
    assert to_rgb(image).getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize(
    ("kind", "save"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_of_an_animation_the_first_frame_counts(kind, save):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **save)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert decoded(data)[0][0] == [255, 0, 0]


def test_a_phones_jpeg_with_a_second_picture_inside_gives_the_first():
    first, second = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    image = open_picture(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert shrink(image, 32) == (32, 32)
    assert np.allclose(np.asarray(to_rgb(image))[5, 5], [255, 0, 0], atol=3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_array_means_its_pixels(mode):
    array = np.asarray(Image.fromarray(tiny_pixels()).convert(mode))
    assert decoded(array) == np.asarray(Image.fromarray(array).convert("RGB")).tolist()
    if mode == "L":
        assert decoded(array[:, :, np.newaxis]) == decoded(array)


def test_an_array_that_is_a_view_means_its_pixels():
    assert decoded(tiny_pixels()[::2, ::-1]) == tiny_pixels()[::2, ::-1].tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((8,), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8), bool),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused_with_what_is_allowed(array):
    with pytest.raises(PictureError) as caught:
        open_picture(array)
    assert str(caught.value) == (
        f"The picture '<array>' has dtype {array.dtype} and shape {array.shape}. "
        "Give uint8 of shape (height, width, 3) RGB, (…, 4) RGB and alpha, or (height, width) grey."
    )


# Names and places.


@pytest.mark.parametrize(
    "name", ["é ü 雪.jpg", "with  two spaces.jpg", "no suffix", "quote'.jpg", "-dash.jpg", "a.PNG"]
)
def test_a_name_says_nothing_about_the_format(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(tiny_pixels(), "PNG"))
    assert decoded(path) == decoded(str(path)) == tiny_pixels().tolist()


def test_no_file_stays_open(tmp_path):
    write_picture(tmp_path / "a.png")
    image = open_picture(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    assert np.asarray(to_rgb(image)).tolist() == tiny_pixels().tolist()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PictureError) as caught:
        open_picture(tmp_path / "gone.jpg")
    assert str(caught.value) == f"The picture {str(tmp_path / 'gone.jpg')!r} does not exist. Check the path."


def test_a_folder_or_a_device_is_not_a_file(tmp_path):
    assert reason_of(tmp_path) == "is not a file"
    assert reason_of("/dev/zero") == "is not a file"


def test_a_path_with_a_null_character_is_refused():
    assert reason_of("a\0b.jpg").startswith("cannot be read")


# Bad content.


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert reason_of(tmp_path / "a.jpg") == reason_of(b"") == "is empty"


@pytest.mark.parametrize(
    "content",
    [
        b"This is a text.\n",
        b"\x00" * 100,
        b"PK\x03\x04 a zip",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0",
    ],
)
def test_what_is_no_picture_is_called_so_whatever_its_name(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    expected = "is not a JPEG, PNG, WEBP, BMP, TIFF, GIF or PPM file, or its header is damaged"
    assert reason_of(tmp_path / "a.jpg") == expected


def test_a_format_outside_the_list_is_refused():
    assert reason_of(encoded(tiny_pixels(), "TGA")).startswith("is not a JPEG")
    assert reason_of(encoded(tiny_pixels(), "PCX")).startswith("is not a JPEG")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "PPM"])
def test_a_truncated_file_is_called_truncated(kind):
    data = encoded(tiny_pixels(width=200, height=200), kind)
    assert reason_of(data[: len(data) // 2]) == "is truncated"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_the_check_finds_what_decoding_would(kind):
    data = encoded(tiny_pixels(width=200, height=200), kind)
    check_decodable(data, "whole")
    with pytest.raises(PictureError):
        check_decodable(data[: len(data) // 2], "half")


def test_a_huge_claim_is_refused_fast_and_without_memory():
    resource = pytest.importorskip("resource")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    assert reason_of(png_header(50_000, 50_000)) == "has more than 178,956,970 pixels"
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert time.perf_counter() - start < 0.5
    assert kilobytes < 50_000


def test_our_own_limit_holds_where_the_application_lifted_pillows(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert reason_of(png_header(50_000, 50_000)) == "has more than 178,956,970 pixels"


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    path = write_picture(tmp_path / "a.png")
    size = path.stat().st_size
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", size - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("must not be read"))
    assert reason_of(path) == f"has {size} bytes, more than {size - 1}"


# Orientation.


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_turning_by_the_exif_orientation_gives_the_upright_picture(kind, value):
    exif = Image.Exif()
    exif[0x0112] = value
    lying = turn(Image.fromarray(tiny_pixels()), {6: 8, 8: 6}.get(value, value))
    save = {"lossless": True} if kind == "WEBP" else {}
    image = to_rgb(opened := open_picture(encoded(lying, kind, exif=exif, **save)))
    assert np.asarray(turn(image, orientation(opened))).tolist() == tiny_pixels().tolist()


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_exif_does_not_define_means_upright(value):
    exif = Image.Exif()
    exif[0x0112] = value
    image = open_picture(encoded(tiny_pixels(), "PNG", exif=exif))
    to_rgb(image)
    assert orientation(image) == 1


@pytest.mark.parametrize("exif", [b"Exif\0\0not exif at all", b"Exif\0\0II*\0\x08\0\0\0\x05\0", b"", b"II"])
def test_damaged_exif_means_upright(exif):
    image = open_picture(encoded(tiny_pixels(), "PNG"))
    image.info["exif"] = exif
    to_rgb(image)
    assert orientation(image) == 1


def test_an_orientation_in_xmp_does_not_count():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    plain = encoded(tiny_pixels(), "JPEG")
    marked = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    image = open_picture(marked)
    assert decoded(marked) == decoded(plain)
    to_rgb(image)
    assert orientation(image) == 1


def test_a_jpeg_with_further_pictures_inside_is_its_first_one():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime")]
    several = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert open_picture(several).format == "JPEG"
    assert np.allclose(decoded(several)[8][8], [255, 0, 0], atol=3)


def test_a_jpeg_needs_no_other_plugin_of_pillow():
    code = (
        "import sys; from edgetl_runtime.decode import open_picture, to_rgb; "
        "to_rgb(open_picture(sys.stdin.buffer.read())); "
        "sys.exit(bool({'PIL.TiffImagePlugin', 'PIL.PngImagePlugin'} & set(sys.modules)))"
    )
    data = encoded(tiny_pixels(), "JPEG")
    assert subprocess.run([sys.executable, "-c", code], input=data, check=False).returncode == 0


# Shrinking.


@pytest.mark.parametrize(
    ("width", "height", "shorter", "covered", "size"),
    [
        (640, 480, 481, (640, 480), (640, 480)),
        (640, 480, 240, (320, 240), (320, 240)),
        (640, 480, 121, (320, 240), (320, 240)),
        (641, 483, 120, (160.25, 120.75), (161, 121)),
        (640, 480, 1, (80, 60), (80, 60)),
    ],
)
def test_a_jpeg_shrinks_no_further_than_asked(width, height, shorter, covered, size):
    image = open_picture(encoded(tiny_pixels(width=width, height=height), "JPEG"))
    assert shrink(image, shorter) == covered
    assert to_rgb(image).size == size


def test_other_formats_do_not_shrink():
    image = open_picture(encoded(tiny_pixels(), "PNG"))
    assert shrink(image, 1) is None
    assert to_rgb(image).size == (48, 40)


def test_encoded_bytes_may_lie_in_any_buffer_or_binary_file(tmp_path):
    data = encoded(tiny_pixels(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        sources = [
            data,
            bytearray(data),
            memoryview(data),
            memoryview(b"xy" + data)[2:],
            io.BytesIO(data),
            file,
        ]
        for source in sources:
            np.testing.assert_array_equal(np.asarray(to_rgb(open_picture(source))), tiny_pixels())
    assert reason_of(file).startswith("cannot be read (read of closed file)")
    with path.open(encoding="latin-1") as text:
        assert reason_of(text) == "was opened as text"


def test_a_binary_file_is_read_up_to_the_limit(monkeypatch):
    monkeypatch.setattr("edgetl_runtime.decode.MAX_FILE_BYTES", 1_000)
    assert reason_of(io.BytesIO(bytes(1_001))) == "has more than 1000 bytes"


@pytest.mark.parametrize("source", [None, (1, 2), 7, 1.5, object()])
def test_what_is_no_picture_at_all_is_a_picture_error(source):
    with pytest.raises(PictureError) as error:
        open_picture(source)
    assert str(error.value) == (
        f"The picture '<{type(source).__name__}>' is of no kind that can be read. "
        "Give a path, encoded bytes, a binary file, a PIL image or an array."
    )


# Whatever the bytes.


SAMPLES = [
    encoded(tiny_pixels(), "JPEG"),
    encoded(tiny_pixels(), "JPEG", progressive=True),
    encoded(tiny_pixels(), "PNG"),
    encoded(tiny_pixels(), "WEBP"),
    encoded(tiny_pixels(), "BMP"),
    encoded(tiny_pixels(), "GIF"),
    encoded(tiny_pixels(), "TIFF"),
    encoded(tiny_pixels(), "PPM"),
]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_a_picture_or_a_picture_error(sample, damage):
    data = bytearray(sample)
    for place, value in damage:
        data[place % len(data)] = value
    try:
        image = to_rgb(opened := open_picture(bytes(data)))
    except PictureError:
        return
    assert image.mode == "RGB"
    assert orientation(opened) in range(1, 9)
