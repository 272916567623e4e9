"""A JPEG that would keep a decoder busy is refused by its markers; whatever cameras write is not."""

from io import BytesIO

import pytest
from PIL import Image
from runtime_factories import tiny_pixels

from edgetl_runtime.decode import open_picture, to_rgb
from edgetl_runtime.errors import PictureError
from edgetl_runtime.markers import MAX_FILL_BYTES, MAX_SCANS, MAX_SEGMENTS, refuse_endless_jpeg


def jpeg(**options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(tiny_pixels()).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_scans(data: bytes, count: int) -> bytes:
    """Repeat the last scan until there are `count`."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + (count - data.count(b"\xff\xda")) * last + data[-2:]


def sequential_in_parts() -> bytes:
    """A sequential JPEG whose first scan has one of three components: decoders wait for further scans."""
    data = jpeg()
    start = data.index(b"\xff\xda")
    return data[:start] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + data[start + 14 :]


@pytest.mark.parametrize("whole", [jpeg(progressive=True), sequential_in_parts()])
def test_a_jpeg_may_have_a_hundred_scans_and_no_more(whole: bytes) -> None:
    refuse_endless_jpeg(with_scans(whole, MAX_SCANS), "x")
    with pytest.raises(PictureError, match=r"The picture 'x' has more than 100 scans\. Save it"):
        refuse_endless_jpeg(with_scans(whole, MAX_SCANS + 1), "x")


@pytest.mark.parametrize(
    ("filler", "count", "message"),
    [
        (b"\xff\xfe\x00\x02", MAX_SEGMENTS, "has more than 10,000 segments"),
        (b"\xff", MAX_FILL_BYTES + 1, "no segment where one must begin"),
        (b"\xff\xd0", MAX_FILL_BYTES, "no segment where one must begin"),
    ],
)
def test_a_header_without_an_end_is_refused(filler: bytes, count: int, message: str) -> None:
    data = jpeg()
    with pytest.raises(PictureError, match=message):
        open_picture(data[:2] + count * filler + data[2:])
    refuse_endless_jpeg(data[:2] + 20 * filler + data[2:], "x")


def test_what_only_looks_like_scans_is_none() -> None:
    """A comment, and a film behind the picture as telephones write them, may hold any bytes."""
    scans = 1_000 * b"\xff\xda\x00\x02"
    comment = b"\xff\xfe" + (2 + len(scans)).to_bytes(2) + scans
    for data in (jpeg(), jpeg(progressive=True)):
        picture = data[:2] + comment + data[2:] + scans
        assert to_rgb(open_picture(picture)).tobytes() == to_rgb(open_picture(data)).tobytes()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_that_is_cut_anywhere_is_left_to_the_decoder(options: dict[str, object]) -> None:
    data = jpeg(**options)
    for end in range(len(data)):
        refuse_endless_jpeg(data[:end], "x")
