"""Occlusion finds the region that a model looks at, and no other."""

import numpy as np
import pytest
from PIL import Image
from report_factories import REGION, region_bundle, region_logits

from edgetl.report.saliency import Wish, explain, occlude
from edgetl_runtime.errors import InputError
from edgetl_runtime.session import Session


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return region_bundle(tmp_path_factory.mktemp("region") / "bundle")


def picture(bright_region):
    """Dark noise with a bright region, or the reverse."""
    pixels = np.random.default_rng(0).integers(60, 90, (32, 32, 3), dtype=np.uint8)
    pixels[REGION] = 250
    return pixels if bright_region else 255 - pixels


@pytest.mark.parametrize(("bright", "label"), [(True, "red"), (False, "green")])
def test_only_the_cell_that_matters_is_salient(bundle, bright, label):
    pixels = picture(bright)
    with Session.open(bundle, variant="onnx-fp32", batch=13) as session:
        saliency = occlude(session, pixels, label)
    assert (saliency.label, saliency.answer) == (label, (label,))
    assert saliency.drops.shape == (8, 8)
    assert np.unravel_index(saliency.drops.argmax(), (8, 8)) == (2, 5)
    assert saliency.drops[2, 5] > 0.3
    others = saliency.drops.copy()
    others[2, 5] = 0
    assert np.abs(others).max() < 1e-6


def test_the_drop_is_the_probability_that_covering_costs(bundle):
    pixels = picture(True)
    covered = pixels.copy()
    covered[REGION] = pixels.reshape(-1, 3).mean(axis=0).round()
    logits = region_logits(np.stack([pixels, covered])) / 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    with Session.open(bundle, variant="onnx-fp32") as session:
        saliency = occlude(session, pixels, "red")
    assert saliency.drops[2, 5] == pytest.approx(shares[0, 0] - shares[1, 0], abs=1e-5)
    assert saliency.confidence == pytest.approx(shares[0, 0], abs=1e-5)


def test_a_grid_need_not_divide_the_picture(bundle):
    with Session.open(bundle, variant="onnx-fp32", batch=4) as session:
        drops = occlude(session, picture(True), "red", grid=5).drops
    assert drops.shape == (5, 5)
    assert np.argwhere(np.abs(drops) > 1e-6).tolist() == [[1, 3]]


@pytest.mark.parametrize("grid", [0, 33])
def test_a_grid_that_does_not_fit_is_refused(bundle, grid):
    with (
        Session.open(bundle, variant="onnx-fp32") as session,
        pytest.raises(InputError, match="grid must be"),
    ):
        occlude(session, picture(True), "red", grid)


def test_another_class_than_the_answer_of_this_machine_can_be_explained(bundle):
    with Session.open(bundle, variant="onnx-fp32") as session:
        of_green = occlude(session, picture(True), "green")
    assert (of_green.label, of_green.answer) == ("green", ("red",))
    assert of_green.confidence < 0.1
    assert of_green.drops[2, 5] < -0.3  # The bright cell speaks against it.


def test_a_class_that_is_none_is_refused(bundle):
    with (
        Session.open(bundle, variant="onnx-fp32") as session,
        pytest.raises(InputError, match="label must be one of red, green, blue, got 'cat'"),
    ):
        occlude(session, picture(True), "cat")


def test_of_several_labels_the_answer_is_all_that_were_found(tmp_path):
    bundle = region_bundle(tmp_path / "several", task="multi_label")
    with Session.open(bundle, variant="onnx-fp32") as session:
        assert occlude(session, picture(True), "green").answer == ("red",)


def test_every_variant_is_opened_once_and_explains_its_pictures(bundle, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture(True)).save(path)
    wishes = [Wish("aa", path, "red"), Wish("aa", path, "blue")]
    maps = explain(bundle, {"onnx-fp32": wishes, "onnx-int8": wishes[:1]})
    assert set(maps.found) == {
        ("onnx-fp32", "aa", "red"),
        ("onnx-fp32", "aa", "blue"),
        ("onnx-int8", "aa", "red"),
    }
    assert maps.notes == ()


def test_a_picture_that_is_gone_is_told(bundle, tmp_path):
    maps = explain(bundle, {"onnx-fp32": [Wish("aa", tmp_path / "gone.png", "red")]})
    assert not maps.found
    assert "does not exist" in maps.notes[0]
