import numpy as np
from PIL import Image
from tiny_bundle import write_colour

from edgetl_runtime import Session


def frames(tmp_path, colours):
    for number, colour in enumerate(colours):
        yield np.asarray(Image.open(write_colour(tmp_path / f"{number}.png", colour, number)))


def test_frames_are_labelled_and_one_odd_frame_switches_nothing(tmp_path, bundle, example):
    camera = example("camera.py")
    colours = ["red"] * 4 + ["blue"] + ["red"] + ["blue"] * 5
    with Session.open(bundle, variant="onnx-fp32") as session:
        found = list(camera.label_frames(session, frames(tmp_path, colours)))
    assert [one.label for one in found] == colours
    assert [one.steady for one in found] == ["red"] * 7 + ["blue"] * 4
    assert all(one.milliseconds > 0 and 0.3 < one.confidence <= 1 for one in found)
