"""The whole way, from a faulty export to the verdict: a trained network, real bundles, engine and pictures.

A faulty export agrees with itself: its reference cases were made by the faulty model, so the proof of the
device passes and only the gate can tell.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image
from torch import nn

from edgetl_exporters.graph import array, find_classifier, replaced
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import Model
from edgetl_exporters.pack import PackedVariant, pack
from edgetl_exporters.reference import reference_cases
from edgetl_exporters.to_int8 import Plan, quantize
from edgetl_exporters.to_onnx import to_onnx
from edgetl_runtime.gating import gate
from edgetl_runtime.manifest import Variant
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.session import Session
from edgetl_runtime.validation import validate

COUNT, SIDE, FRAME = 1_200, 40, 2
TINTS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "cyan": (0, 1, 1),
    "magenta": (1, 0, 1),
}
CLASSES, TINT = tuple(TINTS), np.array(list(TINTS.values()), float)
PREPROCESS = Preprocess(32, crop=0.875)
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def colours(seed):
    """Noisy pictures, (n, side, side, 3) uint8, of a faintly tinted disc, in a loud frame of any colour.

    The crop takes the frame away, as it takes what a camera writes into its borders.
    """
    generator = np.random.default_rng(seed)
    targets = np.arange(COUNT) % len(CLASSES)
    pixels = generator.integers(40, 150, (COUNT, SIDE, SIDE, 3)).astype(float)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    for picture, target in zip(pixels, targets, strict=True):
        disc = np.hypot(rows, columns) < SIDE * generator.uniform(0.25, 0.38)
        picture[disc] += generator.uniform(12, 45) * (TINT[target] - TINT[target].mean())
        inside = picture[FRAME:-FRAME, FRAME:-FRAME].copy()
        picture[:] = 255 * TINT[generator.integers(len(CLASSES))]
        picture[FRAME:-FRAME, FRAME:-FRAME] = inside
    return pixels.clip(0, 255).astype(np.uint8), targets


def trained(pixels, targets):
    """Train a small network of today's kinds of layers."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU6(),
        nn.Conv2d(12, 12, 3, padding=1, groups=12),
        nn.ReLU6(),
        nn.Conv2d(12, 24, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, len(CLASSES)),
    )
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - MEAN[0]) / STD[0]
    y = torch.from_numpy(targets)
    batches = [batch for _ in range(4) for batch in torch.randperm(len(x)).split(60)]
    optimizer = torch.optim.Adam(module.parameters())
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=len(batches))
    for batch in batches:
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(module(x[batch]), y[batch]))
        optimizer.step()
        rates.step()
    return module.eval()


@pytest.fixture(scope="module")
def train():
    """What the network learned from, as it saw it, and what calibrates int8."""
    pictures, targets = colours(seed=0)
    return np.stack([PREPROCESS(picture) for picture in pictures]), targets


@pytest.fixture(scope="module")
def model(train):
    return Model("colours", trained(*train), "single_label", CLASSES, PREPROCESS, MEAN, STD, 1.0)


@pytest.fixture(scope="module")
def graph(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    to_onnx(model, path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for number, (pixels, target) in enumerate(zip(*colours(seed=1), strict=True)):
        path = root / CLASSES[target] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=0)
    return root


def constant(model, kind):
    """Name the constant that the first node of a kind reads."""
    known = {tensor.name for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.op_type == kind)
    return next(name for name in node.input if name in known)


def edited(change):
    """A fault that changes the float graph."""

    def make(graph, out, calibration):
        onnx.save(change(onnx.load(graph)), out)

    return make


def imagenet_mean(model):
    """The mean and deviation that everybody uses, for a network that was trained with others."""
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in IMAGENET)
    return replaced(model, {constant(model, "Sub"): 255 * mean, constant(model, "Mul"): 1 / (255 * std)})


def clobbered_channel(model):
    """The blue plane overwritten with zeros, on its way into the first filters."""
    name = constant(model, "Conv")
    weights = array(model.graph, name).copy()
    weights[:, 2] = 0
    return replaced(model, {name: weights})


def swapped_labels(model):
    """The first two rows of the head in the other order, as where classes were sorted anew."""
    head = find_classifier(model)
    order = [1, 0, *range(2, len(CLASSES))]
    weight, bias = array(model.graph, head.weight), array(model.graph, head.bias)
    return replaced(
        model, {head.weight: weight[order] if head.transposed else weight[:, order], head.bias: bias[order]}
    )


def channels_swapped(model):
    """Blue, green, red: what OpenCV reads."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0], np.int64), "order"))
    for node in changed.graph.node:
        node.input[:] = ["turned" if name == "images" else name for name in node.input]
    changed.graph.node.insert(0, helper.make_node("Gather", ["images", "order"], ["turned"], axis=3))
    return changed


def int8(graph, out, calibration):
    quantize(graph, out, plan=Plan("onnxruntime"), images=calibration[:120])


def saturated_int8(graph, out, calibration):
    """Calibrated on pictures of next to no contrast: the ranges are too narrow, and activations saturate."""
    quantize(graph, out, plan=Plan("onnxruntime"), images=92 + calibration[:120] // 32)


def exported(out, model, graph, calibration, fault=None, preprocess=PREPROCESS):
    """Pack a bundle whose file is made with a fault, with the references that this very file gives."""
    file = out.with_suffix(".onnx")
    (fault or edited(lambda sound: sound))(graph, file, calibration)
    cases = reference_cases(preprocess)
    logits = run_file(file, "onnxruntime", np.stack([case.pixels for case in cases])).logits
    variant = Variant(
        name="onnx",
        engine="onnxruntime",
        precision="fp32",
        execution="f32",
        model="model.onnx",
        files=("model.onnx",),
        head="float",
        temperature=1.0,
        tolerance=0.001,
        contract={},
    )
    packed = PackedVariant(variant, {"model.onnx": file}, logits)
    pack(replace(model, preprocess=preprocess), [packed], cases, out, {"made_by": "the tests"})
    return out


FAULTS = {
    "wrong mean": (edited(imagenet_mean),),
    "clobbered channel": (edited(clobbered_channel),),
    "swapped labels": (edited(swapped_labels),),
    "channels swapped": (edited(channels_swapped),),
    "saturated int8": (saturated_int8,),
    "wrong crop": (None, Preprocess(32, crop=1.0)),
}


@pytest.fixture(scope="module")
def receipt(tmp_path_factory, model, graph, pictures, train):
    """Export with a fault by its name, open what was exported, proof and all, and validate it, once each."""

    @cache
    def measure(name):
        how = {"none": (), "again": (), "int8": (int8,)} | FAULTS
        out = exported(tmp_path_factory.mktemp("bundle") / "bundle", model, graph, train[0], *how[name])
        with Session.open(out, cache=False) as session:
            return validate(session, pictures)

    return measure


def test_the_same_model_exported_again_passes_without_a_flip(receipt):
    verdict = gate(receipt("none"), receipt("again"))
    assert (verdict.outcome, verdict.n, verdict.flips) == ("PASS", COUNT, ())
    assert verdict.before > 0.97
    assert verdict.calibration_drift.value == 0


def test_a_sound_int8_passes(receipt):
    baseline, candidate = receipt("none"), receipt("int8")
    assert (candidate.predictions.confidence != baseline.predictions.confidence).any()
    assert gate(baseline, candidate, margin=0.01).outcome == "PASS"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_agrees_with_its_own_references_fails_and_lists_its_flips(receipt, fault):
    verdict = gate(receipt("none"), receipt(fault))
    assert (verdict.outcome, verdict.n) == ("FAIL", COUNT)
    flips = {flip.sha256 for flip in verdict.flips}
    assert len(flips) == len(verdict.flips) == verdict.lost + verdict.gained
    assert flips <= set(receipt("none").predictions.sha256)
    assert all(flip.before == flip.target != flip.after for flip in verdict.flips[: verdict.lost])
    assert all(flip.after == flip.target != flip.before for flip in verdict.flips[verdict.lost :])


def test_swapped_labels_show_in_the_classes_that_were_swapped(receipt):
    verdict = gate(receipt("none"), receipt("swapped labels"))
    drops = {drop.name: drop.drop for drop in verdict.classes}
    assert min(drops["red"], drops["green"]) > 0.9
    assert max(drops[name] for name in CLASSES[2:]) == 0
