"""The whole way, from a faulty export to the verdict: real bundles, a real engine, real pictures.

A faulty export agrees with itself: its reference cases were made by the faulty model, so the proof of the
device passes and only the gate can tell.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from PIL import Image
from tiny_bundle import CLASSES, tiny_bundle, write_colour, write_manifest

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.gating import gate
from edgetl_runtime.manifest import Manifest
from edgetl_runtime.session import Session
from edgetl_runtime.validation import validate

EACH = 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for number, colour in enumerate(CLASSES):
        for seed in range(EACH):
            write_colour(root / colour / f"{seed}.png", colour, seed=number * EACH + seed)
    return root


def swapped_labels(model):
    change(model, "weight", lambda weight: weight[[1, 0, 2]])


def clobbered_channel(model):
    change(model, "weight", lambda weight: weight * [1, 1, 1, 1, 0, 0])


def channels_swapped(model):
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0], np.int64), "order"))
    model.graph.node.insert(0, helper.make_node("Gather", ["images", "order"], ["turned"], axis=3))
    model.graph.node[1].input[0] = "turned"


def wrong_mean(model):
    change(model, "mean", lambda mean: np.add(mean, [0, 255, 0]))


def change(model, name, edit):
    (found,) = (one for one in model.graph.initializer if one.name == name)
    found.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(found)).astype(np.float32), name))


def exported(path, fault=None):
    """Write the tiny bundle with a fault in its ONNX file, and references that the faulty file gives."""
    tiny_bundle(path)
    manifest = Manifest.from_json((path / "manifest.json").read_text(encoding="utf-8"))
    variant = next(one for one in manifest.variants if one.name == "onnx-fp32")
    if fault is not None:
        model = onnx.load(path / variant.model)
        fault(model)
        onnx.save(model, path / variant.model)
    pixels = np.stack([np.asarray(Image.open(path / case.pixels)) for case in manifest.cases])
    engine = onnxruntime.InferenceSession(path / variant.model)
    np.save(path / variant.logits, engine.run(["logits"], {"images": pixels})[0])
    return write_manifest(path, manifest)


def receipt_of(bundle, pictures):
    with Bundle.open(bundle), Session.open(bundle, variant="onnx-fp32") as session:
        return validate(session, pictures, split="test")


@pytest.fixture(scope="module")
def baseline(tmp_path_factory, pictures):
    return receipt_of(exported(tmp_path_factory.mktemp("baseline") / "bundle"), pictures)


def test_the_same_model_exported_again_passes_without_a_flip(tmp_path, pictures, baseline):
    verdict = gate(baseline, receipt_of(exported(tmp_path / "again"), pictures), margin=0.02)
    assert (verdict.outcome, verdict.flips, verdict.before) == ("PASS", (), 1.0)
    assert verdict.calibration_drift.value == 0


@pytest.mark.parametrize("fault", [swapped_labels, clobbered_channel, channels_swapped, wrong_mean])
def test_a_fault_that_agrees_with_its_own_references_fails_and_lists_its_flips(
    tmp_path, pictures, baseline, fault
):
    candidate = receipt_of(exported(tmp_path / "faulty", fault), pictures)
    verdict = gate(baseline, candidate)
    assert verdict.outcome == "FAIL"
    assert verdict.lost >= EACH
    assert len(verdict.flips) == verdict.lost + verdict.gained
    assert {flip.sha256 for flip in verdict.flips} <= set(baseline.predictions.sha256)
    assert all(flip.before == flip.target != flip.after for flip in verdict.flips[: verdict.lost])


def test_swapped_labels_show_in_the_classes_that_were_swapped(tmp_path, pictures, baseline):
    verdict = gate(baseline, receipt_of(exported(tmp_path / "faulty", swapped_labels), pictures))
    assert [(drop.name, drop.drop) for drop in verdict.classes] == [
        ("red", 1.0),
        ("green", 1.0),
        ("blue", 0.0),
    ]
