"""Preprocessing is data with one meaning, the same for every source of the same picture."""

import io
import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from runtime_factories import tiny_pixels, write_picture

from edgetl_runtime.decode import turn
from edgetl_runtime.errors import BundleError, InputError, PictureError
from edgetl_runtime.preprocess import Filter, Preprocess

LYING = {6: 8, 8: 6}  # Quarter turns undo each other; every other orientation undoes itself.

WRONG_STEPS = (
    "Preprocess steps must be ['decode', 'center_crop', 'resize'] in this order, got ['blur', None]. "
    "A newer bundle needs a newer edgetl-runtime."
)

preprocesses = st.builds(
    Preprocess,
    size=st.integers(32, 1024),
    crop=st.floats(0, 1, exclude_min=True) | st.just(1),
    filter=st.sampled_from(get_args(Filter)),
    draft=st.booleans(),
)


def encoded(image: Image.Image, kind: str, **save: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **save)
    return buffer.getvalue()


def steps(**changes: Any) -> list[dict[str, Any]]:
    """The steps of a valid preprocessing, `op__key` changed, or removed where the value is None."""
    valid = Preprocess(224, 0.875, "bicubic").to_steps()
    for place, value in changes.items():
        op, key = place.split("__")
        step = next(step for step in valid if step["op"] == op)
        step[key] = value
        if value is None:
            del step[key]
    return valid


@pytest.mark.parametrize("shape", [(40, 48, 3), (32, 32, 3), (40, 48, 4)])
def test_an_array_may_come_in_the_order_of_opencv(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    swapped = pixels[:, :, [2, 1, 0, 3][: shape[2]]]
    for preprocess in (Preprocess(32, 1), Preprocess(32, 0.875)):
        assert np.array_equal(preprocess(swapped, channels="bgr"), preprocess(pixels))
    assert not np.array_equal(Preprocess(32, 1)(swapped), Preprocess(32, 1)(pixels))


def test_the_order_of_channels_is_that_of_arrays_alone(tmp_path):
    path = write_picture(tmp_path / "a.png")
    grey = tiny_pixels()[:, :, 0]
    for picture in (path, path.read_bytes(), Image.open(path), grey, grey[:, :, np.newaxis]):
        assert np.array_equal(Preprocess(32)(picture, channels="bgr"), Preprocess(32)(picture))
    with pytest.raises(InputError, match=r"channels must be one of \('rgb', 'bgr'\), got 'brg'"):
        Preprocess(32, 1)(np.zeros((32, 32, 3), np.uint8), channels="brg")


# As data.


def test_the_json_form_is_the_documented_one():
    assert Preprocess(size=224, crop=0.875, filter="bicubic").to_steps() == [
        {"op": "decode", "mode": "RGB", "orientation": "exif", "draft": True},
        {"op": "center_crop", "fraction": 0.875},
        {"op": "resize", "size": 224, "filter": "bicubic"},
    ]


@given(preprocesses)
def test_the_json_form_comes_back_equal_and_in_the_same_bytes(preprocess):
    text = json.dumps(preprocess.to_steps())
    again = Preprocess.from_steps(json.loads(text))
    assert again == preprocess
    assert json.dumps(again.to_steps()) == text


def test_a_whole_number_is_a_fraction_too():
    again = Preprocess.from_steps(steps(center_crop__fraction=1))
    assert again == Preprocess(224, 1.0, "bicubic")
    assert again.to_steps()[1] == {"op": "center_crop", "fraction": 1.0}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 3}, "Preprocess steps must be a list of objects, got 3."),
        ({"steps": [1, 2, 3]}, "Preprocess steps must be a list of objects, got [1, 2, 3]."),
        ({"steps": [{"op": "blur"}, {}]}, WRONG_STEPS),
        (
            {"resize__sise": 3, "resize__size": None},
            "Preprocess step 'resize' has the keys ['filter', 'size']: missing ['size'], unknown ['sise'].",
        ),
        ({"resize__size": "224"}, "Preprocess step 'resize': size must be int, got '224'."),
        ({"resize__size": True}, "Preprocess step 'resize': size must be int, got True."),
        ({"resize__size": 224.0}, "Preprocess step 'resize': size must be int, got 224.0."),
        ({"center_crop__fraction": "1"}, "Preprocess step 'center_crop': fraction must be float, got '1'."),
        ({"decode__draft": 1}, "Preprocess step 'decode': draft must be bool, got 1."),
        ({"decode__mode": "BGR"}, "Preprocess: step 'decode' allows mode 'RGB' only, got 'BGR'."),
        (
            {"decode__orientation": "none"},
            "Preprocess: step 'decode' allows orientation 'exif' only, got 'none'.",
        ),
        (
            {"resize__size": 7},
            "The preprocessing steps are not valid: Preprocess.size must be an int in [32, 1024], got 7.",
        ),
    ],
)
def test_json_that_is_not_ours_is_refused_with_what_is_allowed(changed, message):
    with pytest.raises(BundleError) as caught:
        Preprocess.from_steps(changed["steps"] if "steps" in changed else steps(**changed))
    assert str(caught.value) == message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["op", "size"]), inner),
    )
)
def test_any_other_json_is_a_bundle_error(value):
    with pytest.raises(BundleError):
        Preprocess.from_steps(value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 31}, "Preprocess.size must be an int in [32, 1024], got 31."),
        ({"size": 1025}, "Preprocess.size must be an int in [32, 1024], got 1025."),
        ({"size": 224.0}, "Preprocess.size must be an int in [32, 1024], got 224.0."),
        ({"crop": 0}, "Preprocess.crop must be a number in (0, 1], got 0."),
        ({"crop": 1.01}, "Preprocess.crop must be a number in (0, 1], got 1.01."),
        ({"crop": float("nan")}, "Preprocess.crop must be a number in (0, 1], got nan."),
        ({"crop": True}, "Preprocess.crop must be a number in (0, 1], got True."),
        (
            {"filter": "nearest"},
            "Preprocess.filter must be one of ('bilinear', 'bicubic', 'lanczos', 'box'), got 'nearest'.",
        ),
        ({"draft": 1}, "Preprocess.draft must be true or false, got 1."),
    ],
)
def test_a_preprocessing_out_of_range_cannot_be_made(fields, message):
    with pytest.raises(InputError) as caught:
        Preprocess(**{"size": 224, **fields})
    assert str(caught.value) == message


# As an interpreter.


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    kind=st.sampled_from(["PNG", "JPEG", "TIFF"]),
    size=st.sampled_from([32, 64]),
    crop=st.floats(0.01, 1),
)
def test_every_picture_becomes_a_writable_contiguous_square_of_rgb(width, height, mode, kind, size, crop):
    image = Image.fromarray(tiny_pixels(width=width, height=height)).convert("L").convert(mode)
    holds = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "JPEG": ("1", "L", "RGB", "CMYK")}
    kind = kind if mode in holds.get(kind, ()) else "TIFF"
    pixels = Preprocess(size, crop)(encoded(image, kind))
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("filter", get_args(Filter))
def test_the_result_is_pillows_resize_of_the_centred_square(filter):
    image = Image.fromarray(tiny_pixels(width=201, height=120))
    box = (48.0, 7.5, 153.0, 112.5)  # The square of side 0.875 × 120 around (100.5, 60).
    expected = image.resize((64, 64), Image.Resampling[filter.upper()], box=box)
    assert np.array_equal(Preprocess(64, 0.875, filter)(encoded(image, "PNG")), np.asarray(expected))


def test_every_source_of_one_picture_gives_the_same_pixels(tmp_path):
    path = write_picture(tmp_path / "a.png", width=97, height=61)
    preprocess = Preprocess(64)
    expected = preprocess(path)
    array = np.asarray(Image.open(path))
    for source in (str(path), path.read_bytes(), Image.open(path), array):
        assert np.array_equal(preprocess(source), expected)


def test_grey_is_resized_as_one_channel_to_the_same_pixels_as_rgb():
    grey = Image.fromarray(tiny_pixels(width=97, height=61)).convert("L")
    preprocess = Preprocess(64)
    assert np.array_equal(preprocess(encoded(grey, "PNG")), preprocess(encoded(grey.convert("RGB"), "PNG")))


def test_an_array_that_needs_no_crop_and_no_resize_comes_back_itself():
    array = tiny_pixels(width=64, height=64)
    assert Preprocess(64, crop=1)(array) is array


def test_an_array_of_the_right_size_is_cropped_like_a_file_of_that_size():
    array = tiny_pixels(width=64, height=64)
    preprocess = Preprocess(64, crop=0.875)
    assert np.array_equal(preprocess(array), preprocess(encoded(Image.fromarray(array), "PNG")))


def test_an_array_that_is_done_but_not_contiguous_is_made_so():
    array = tiny_pixels(width=64, height=64)[:, ::-1]
    done = Preprocess(64, crop=1)(array)
    assert done.flags.c_contiguous
    assert np.array_equal(done, array)


def test_an_array_of_floats_is_refused_even_in_the_right_shape():
    with pytest.raises(PictureError, match="has dtype float64"):
        Preprocess(64, crop=1)(np.zeros((64, 64, 3)))


def test_a_callers_image_keeps_its_size_and_its_turn(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write_picture(tmp_path / "a.jpg", width=640, height=480, exif=exif)
    with Image.open(path) as image:
        Preprocess(32)(image)
        assert image.size == (640, 480)
        assert image.getexif()[0x0112] == 6


# Orientation.


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", [32, 96])
def test_all_eight_orientations_give_the_upright_pictures_pixels_to_the_bit(kind, value, size):
    upright = Image.fromarray(tiny_pixels(width=75, height=58))
    save = {"lossless": True} if kind == "WEBP" else {}
    exif = Image.Exif()
    exif[0x0112] = value
    lying = encoded(turn(upright, LYING.get(value, value)), kind, exif=exif, **save)
    preprocess = Preprocess(size)
    assert np.array_equal(preprocess(lying), preprocess(encoded(upright, kind, **save)))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("draft", [True, False])
def test_all_eight_orientations_of_a_jpeg_give_the_upright_picture(value, draft):
    # At 1/8 this picture covers 41.125 × 40.125 pixels: its partial ones must turn with it.
    upright = Image.fromarray(tiny_pixels(width=329, height=321))
    exif = Image.Exif()
    exif[0x0112] = value
    lying = encoded(turn(upright, LYING.get(value, value)), "JPEG", quality=95, exif=exif)
    preprocess = Preprocess(32, draft=draft)
    expected = preprocess(encoded(upright, "JPEG", quality=95)).astype(int)
    assert np.abs(preprocess(lying) - expected).mean() < 1.0
    assert np.abs(expected[:, ::-1] - expected).mean() > 30


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    seed=st.integers(0, 99),
    size=st.integers(32, 64),
    crop=st.floats(0.05, 1),
    filter=st.sampled_from(get_args(Filter)),
    value=st.integers(1, 8),
)
def test_turning_a_picture_turns_the_result(width, height, seed, size, crop, filter, value):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    upright = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = value
    lying = encoded(turn(upright, LYING.get(value, value)), "PNG", exif=exif)
    preprocess = Preprocess(size, crop, filter)
    assert np.array_equal(preprocess(lying), preprocess(encoded(upright, "PNG")))


# Shrinking while decoding.


@pytest.mark.parametrize(("width", "height"), [(1280, 854), (1283, 861), (640, 1000), (329, 321)])
def test_a_shrunk_jpeg_gives_nearly_the_pixels_of_a_full_one(width, height):
    data = encoded(Image.fromarray(tiny_pixels(width=width, height=height)), "JPEG", quality=95)
    shrunk = Preprocess(64, draft=True)(data).astype(int)
    full = Preprocess(64, draft=False)(data)
    assert np.abs(shrunk - full).mean() < 0.6


def test_a_jpeg_is_decoded_no_smaller_than_the_square_needs():
    data = encoded(Image.fromarray(tiny_pixels(width=1024, height=513)), "JPEG")
    seen = [Preprocess(64, crop).decode(data).image.size for crop in (0.5, 0.4999, 1.0)]
    assert seen == [(256, 129), (512, 257), (128, 65)]
    seen = [Preprocess(64, crop, draft=False).decode(data).image.size for crop in (0.5, 1.0)]
    assert seen == [(1024, 513)] * 2


def test_a_bad_picture_is_named(tmp_path):
    path = write_picture(tmp_path / "half.jpg", width=200, height=200)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PictureError) as caught:
        Preprocess(64)(path)
    assert (
        str(caught.value)
        == f"The picture {str(path)!r} is truncated. Copy it again from its source, or remove it."
    )
