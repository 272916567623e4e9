from pathlib import Path

import numpy as np
from receipt_factories import flipped, tiny_predictions, tiny_receipt
from tiny_bundle import tiny_manifest, tiny_variant

from edgetl_runtime.commands import Answer
from edgetl_runtime.gating import gate
from edgetl_runtime.metrics import Figure
from edgetl_runtime.presentation import render_answers, render_info, render_receipt, render_verdict
from edgetl_runtime.session import Prediction


def prediction(*labels, confidence=0.5):
    return Prediction(labels[0] if labels else None, labels, confidence, np.zeros(2), np.zeros(2))


def assert_fits(text):
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_predictions_are_one_line_per_picture_and_errors_are_left_to_stderr():
    answers = [
        Answer(Path("a.jpg"), prediction("cat", "dog", confidence=0.98765)),
        Answer(Path("broken.jpg"), None, "is truncated"),
        Answer(Path("long-name.jpg"), prediction(confidence=0.5)),
    ]
    assert render_answers(answers) == (
        "picture        label     confidence\n"
        "a.jpg          cat, dog      0.9877\n"
        "long-name.jpg  -             0.5000"
    )
    assert render_answers(answers[1:2]) == ""


def test_a_receipt_is_shown_with_figures_times_and_what_was_left_out():
    receipt = tiny_receipt(
        tiny_predictions([0, 0, 1], [0, 1, 1]),
        per_class={"cat": Figure("recall", 0.5, 0.1, 0.9, 2), "dog": Figure("recall", 0.25, 0.1, 0.9, 1)},
        errors=[(Path("cat/broken.jpg"), "is truncated")],
    )
    text = render_receipt(receipt)
    assert (
        text
        == """\
pets onnx-int8 on cpu: 3 pictures of split test of pets

                value      95% interval  n
accuracy       0.6667  0.0000 to 1.0000  3
recall of dog  0.2500  0.1000 to 0.9000  1
recall of cat  0.5000  0.1000 to 0.9000  2

milliseconds   p50   p95   p99
preprocess    1.00  2.00  3.50
infer         1.00  2.00  3.50
total         1.00  2.00  3.50

4.00 MB on disk; Toaster

Left out: 1
  cat/broken.jpg is truncated"""
    )
    assert_fits(text)


def test_of_many_classes_the_weakest_are_shown():
    classes = tuple(f"c{k:02}" for k in range(30))
    receipt = tiny_receipt(
        tiny_predictions([0], [0], classes=30),
        classes=classes,
        per_class={name: Figure("recall", k / 30, 0.0, 1.0, 5) for k, name in enumerate(classes)},
        errors=[(Path(f"{k}.jpg"), "is empty") for k in range(8)],
    )
    text = render_receipt(receipt)
    assert "recall of c09" in text
    assert "recall of c10" not in text
    assert "20 more classes do better." in text
    assert text.endswith("  4.jpg is empty\n  3 more are in the receipt.")


def test_the_verdict_comes_first_then_numbers_then_what_to_do_then_flips():
    text = render_verdict(gate(*flipped(lost=12, gained=8, both=980)))
    blocks = text.split("\n\n")
    assert blocks[0].startswith("INCONCLUSIVE: the drop of accuracy is +0.40 pp on 1,000 pictures")
    assert blocks[1].splitlines()[:2] == [
        "                   baseline  candidate  drop in pp    90% interval",
        "accuracy            99.20 %    98.80 %       +0.40  -0.42 to +1.26",
    ]
    assert blocks[1].splitlines()[2].startswith("balanced accuracy                            +0.40  ")
    assert blocks[2].startswith("Of 1,000 pictures 12 were lost and 8 gained (McNemar p = 0.5).")
    assert blocks[3].startswith("About 123,652 pictures would decide")
    assert blocks[4].splitlines()[0] == "Flips:"
    assert len(blocks[4].splitlines()) == 1 + 1 + 10 + 1
    assert blocks[4].endswith("10 more flips are in --json.")
    assert_fits(text)


def test_a_decided_verdict_without_flips_has_no_next_step():
    text = render_verdict(gate(*flipped(lost=0, gained=0, both=1_000)))
    assert len(text.split("\n\n")) == 3
    assert text.startswith("PASS: the drop of accuracy is 0.00 pp")


def test_a_bundle_is_shown_with_its_variants():
    manifest = tiny_manifest()
    text = render_info(manifest)
    assert text.splitlines()[:2] == ["bundle    colours", f"id        {manifest.hash}"]
    assert "classes   3: red, green, blue\n" in text
    assert "pictures  32 x 32 RGB, centre 0.875, bicubic\nrejects   nothing\n" in text
    assert "onnx-fp32      onnxruntime  fp32    f32      certified  0.00" in text
    assert_fits(text)


def test_a_variant_says_what_its_contract_lacks():
    contracts = ({"certified": False, "needs": 4_947}, {"certified": False}, {})
    variants = tuple(
        tiny_variant("onnxruntime", name=f"v{k}", contract=contract) for k, contract in enumerate(contracts)
    )
    manifest = tiny_manifest()
    shown = render_info(Stub(manifest, variants, tuple(f"class {k}" for k in range(12))))
    assert "uncertified, needs 4,947" in shown
    assert "not measured" in shown
    assert "class 9, ..." in shown


class Stub:
    """A manifest whose variants and classes are the test's, not held against any file."""

    def __init__(self, manifest, variants, classes):
        self.name, self.hash, self.task = manifest.name, manifest.hash, manifest.task
        self.preprocess = manifest.preprocess
        self.variants, self.classes = variants, classes

    def size_bytes(self, variant):
        return 1_500_000


def test_a_threshold_is_shown():
    variants = (tiny_variant("onnxruntime", reject_below=0.25), tiny_variant("openvino"))
    assert "rejects   onnx-fp32 below 0.25\n" in render_info(tiny_manifest(variants=variants))
    assert "rejects   nothing\n" in render_info(tiny_manifest())


def test_the_device_that_a_variant_was_made_for_is_shown():
    variants = (tiny_variant("onnxruntime", device="qnn"), tiny_variant("openvino"))
    assert "\nonly on   onnx-fp32 qnn\n" in render_info(tiny_manifest(variants=variants))
    assert "only on" not in render_info(tiny_manifest())


def test_a_fixed_batch_is_shown():
    variants = (tiny_variant("onnxruntime", batch=4), tiny_variant("openvino"))
    assert "at a time onnx-fp32 4\n" in render_info(tiny_manifest(variants=variants))
    assert "at a time" not in render_info(tiny_manifest())
