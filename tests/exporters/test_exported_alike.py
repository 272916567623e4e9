"""The same network, quantized with other calibration pictures: the gate passes each against each other."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from exporter_factories import CLASSES, SIZE, tiny_model
from receipt_factories import tiny_predictions, tiny_receipt

from edgetl_exporters.measure import run_file
from edgetl_exporters.model import Labelled
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_int8 import Plan, Quantizer, quantize
from edgetl_runtime.gating import gate
from edgetl_runtime.receipt import Receipt

PICTURES, CALIBRATION, DRAWS = 10_000, 100, 5


def faint_colours(count: int, seed: int) -> Labelled:
    """Pictures of which the tiny network knows nine in ten."""
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % len(CLASSES)
    pixels = generator.integers(20, 160, (count, SIZE, SIZE, 3))
    pixels[np.arange(count), :, :, targets] += generator.integers(0, 30, count)[:, None, None]
    return Labelled(pixels.astype(np.uint8), targets.astype(np.int64))


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["onnxruntime", "nncf"])
def test_exports_of_one_network_pass_each_against_each_other(tmp_path: Path, quantizer: Quantizer) -> None:
    write_graph(tiny_model(), tmp_path / "float.onnx")
    test = faint_colours(PICTURES, 99)
    receipts: list[Receipt] = []
    for draw in range(DRAWS):
        path = tmp_path / f"{draw}.onnx"
        images = faint_colours(CALIBRATION, 500 + draw).pixels
        quantize(tmp_path / "float.onnx", path, plan=Plan(quantizer), images=images)
        answers = run_file(path, "onnxruntime", test.pixels, batch=100).logits.argmax(axis=1)
        predictions = tiny_predictions(test.targets, answers, classes=len(CLASSES))
        receipts.append(tiny_receipt(predictions, classes=CLASSES))
    verdicts = [gate(*both) for both in permutations(receipts, 2)]
    assert {verdict.outcome for verdict in verdicts} == {"PASS"}
    discordances = [(verdict.lost + verdict.gained) / PICTURES for verdict in verdicts]
    assert 0 < max(discordances) <= 0.006  # docs/gate.md says up to 0.4 %.
    assert 0.85 < verdicts[0].before < 0.95
