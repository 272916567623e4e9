from io import BytesIO
from pathlib import Path

from PIL import Image
from tiny_bundle import tiny_bundle

from edgetl_runtime.benching import bench, sample_picture
from edgetl_runtime.session import Session


def test_the_sample_is_a_jpeg_of_the_size_that_is_named_and_always_the_same() -> None:
    image = Image.open(BytesIO(sample_picture(320, 200)))
    assert (image.format, image.size) == ("JPEG", (320, 200))
    assert sample_picture(320, 200) == sample_picture(320, 200)


def test_sessions_are_timed_side_by_side(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    with (
        Session.open(folder, variant="onnx-fp32") as first,
        Session.open(folder, variant="onnx-fp32") as again,
    ):
        found = bench([first, again], sample_picture(160, 120), rounds=4)
    assert [one.proof_remembered for one in found] == [False, True]
    for one in found:
        assert {entry.n for entry in one.stages.values()} == {4}
        assert one.opening_ms is not None
        assert min(one.opening_ms, one.stream_per_s, one.reference_ms) > 0
