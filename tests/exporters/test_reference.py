"""The reference cases: asymmetric, larger than the network's input, the same bytes each time."""

import io

import numpy as np
import pytest
from PIL import Image

from edgetl_exporters.reference import reference_cases
from edgetl_runtime.preprocess import Preprocess

PREPROCESS = Preprocess(64)


def test_equal_preprocessings_give_equal_files() -> None:
    first, second = (
        {name: data for case in reference_cases(PREPROCESS) for name, data in case.files().items()}
        for _ in range(2)
    )
    assert first == second
    assert len(first) == 12


def test_the_cases_are_of_the_kinds_that_devices_get_wrong() -> None:
    opened = {case.case.name: Image.open(io.BytesIO(case.picture)) for case in reference_cases(PREPROCESS)}
    assert {name: (image.format, image.mode) for name, image in opened.items()} == {
        "jpeg": ("JPEG", "RGB"),
        "png": ("PNG", "RGB"),
        "rotated": ("JPEG", "RGB"),
        "grey": ("JPEG", "L"),
        "large": ("JPEG", "RGB"),
        "dark": ("JPEG", "RGB"),
    }
    assert opened["rotated"].getexif()[0x0112] == 6
    assert all(min(image.size) > PREPROCESS.size for image in opened.values())


@pytest.mark.parametrize("case", reference_cases(PREPROCESS), ids=lambda case: case.case.name)
def test_no_flip_turn_or_swap_of_colours_leaves_a_case_as_it_is(case: object) -> None:
    pixels = case.pixels.astype(int)  # type: ignore[attr-defined]
    others = {
        "mirrored": pixels[:, ::-1],
        "upside down": pixels[::-1],
        "turned": pixels.transpose(1, 0, 2),
        "BGR": pixels[:, :, ::-1],
    }
    grey = case.case.name == "grey"  # type: ignore[attr-defined]
    alike = [name for name, other in others.items() if np.abs(pixels - other).mean() <= 4]
    assert alike == (["BGR"] if grey else [])
