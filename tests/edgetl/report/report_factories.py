"""Sources of reports: a run's facts, receipts that differ, and a bundle that looks at one region alone."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from receipt_factories import tiny_predictions, tiny_receipt
from tiny_bundle import TEMPERATURE, tiny_bundle, tiny_variant, write_manifest

from edgetl.report.album import Album
from edgetl.report.build import Wanted, build_report
from edgetl.report.changes import find_changes
from edgetl.report.facts import Facts, comparable, compare
from edgetl.report.saliency import Maps
from edgetl.report.sources import Measured, Sources, read_sources
from edgetl_runtime.asking import Question
from edgetl_runtime.manifest import Manifest
from edgetl_runtime.metrics import Figure, figures, recall_per_class
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.receipt import Receipt

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"
REGION = (slice(8, 12), slice(20, 24))  # row 2, column 5 of a grid of 8 over 32 pixels
GAP = {"n": 195, "train": 0.91, "validation": 0.89, "low": -0.04, "high": 0.08, "overfits": False}
TUNED = {
    "learning_rate": 5e-4,
    "race": [[1.6e-4, [0.41]], [5e-4, [0.40, 0.38]], [1.6e-3, [None]]],
    "bf16": False,
    "share": 0.6,
    "stopped": "no better for 4 epochs",
    "planned": [3, 5],
}
SEARCH = {
    "attempts": [
        {
            "backbone": name,
            "weights": "default",
            "accuracy": accuracy,
            "validation_loss": None if accuracy is None else 0.3,
            "seconds": 60.0,
            "reason": "0.850 of 0.9 so far",
            "failed": "" if accuracy else "Its weights are not on this machine.",
        }
        for name, accuracy in (("efficientnet_lite0", 0.85), ("resnet18", None))
    ],
    "probes": [
        {
            "block": block,
            "stages": stages,
            "loss": loss,
            "before": 0.5,
            "gradient": gradient,
            "batches": 12,
            "seconds": 4.0,
        }
        for block, stages, loss, gradient in (
            ("input", "first 2 stages", None, None),
            ("output", "last 2 stages", 0.42, 1.0),
        )
    ],
    "left_out": {"last 5 stages": "3 epochs take 900 s of the time budget"},
    "advice": {
        "backbone": "efficientnet_lite0",
        "plan": {"approach": "staged", "reasons": ["Stages are tuned from the output.", "Transfer helps."]},
    },
}
STEPS = [
    {
        "name": name,
        "parameters": 100 * place,
        "seconds": 1.5,
        "validation_loss": 0.5 - 0.1 * place,
        "accuracy": 0.8,
        "balanced_accuracy": 0.75,
        "kept": place < 2,
        "reason": f"reason {place}",
        "tuned": TUNED if place else None,
        "gap": GAP,
        "epochs": [
            {
                "number": number,
                "seconds": 1.0,
                "loss": 0.6,
                "validation_loss": 0.5 - 0.1 * place - 0.01 * number,
                "accuracy": 0.8,
                "balanced_accuracy": 0.75 + 0.01 * number,
            }
            for number in range(1, 1 + 3 * (place > 0))
        ],
    }
    for place, name in enumerate(("head", "last 2 stages", "all stages"))
]


def measured_receipt(
    target: Sequence[int],
    predicted: Sequence[int],
    *,
    classes: tuple[str, ...] = ("cat", "dog"),
    confidence: Sequence[float] | None = None,
    sha256: Sequence[str] | None = None,
    **changes: Any,
) -> Receipt:
    """A receipt with its true figures, whose answers are these."""
    answers = tiny_predictions(target, predicted, classes=len(classes), confidence=confidence, sha256=sha256)
    found = figures("single_label", classes, answers.target, answers.predicted, None)
    recalls = recall_per_class(answers.target, answers.predicted, len(classes))
    per_class = {name: one for name, one in zip(classes, recalls, strict=True) if one is not None}
    receipt = tiny_receipt(answers, classes=classes, per_class=per_class)
    return replace(receipt, figures=found | _calibration(len(answers)), **changes)


def _calibration(n: int) -> dict[str, Figure]:
    name = "expected_calibration_error"
    return {name: Figure(name, 0.05, 0.01, 0.1, n)}


def two_receipts(**changes: Any) -> tuple[Receipt, Receipt]:
    """A float receipt and one of int8 on ten pictures: it loses pictures 0 and 1 and gains picture 9."""
    target = [0, 1] * 5
    before = [0, 1] * 4 + [0, 0]
    after = [1, 0, 0, 1, 0, 1, 0, 1, 0, 1]
    confidence = np.linspace(0.55, 0.95, 10)
    base = measured_receipt(target, before, confidence=confidence, variant="onnx-fp32", **changes)
    return base, measured_receipt(target, after, confidence=confidence[::-1], **changes)


def sources_of(*receipts: Receipt, **changes: Any) -> Sources:
    """Sources whose receipts are called by their variants."""
    return Sources(receipts=tuple(Measured(one.variant, one) for one in receipts), **changes)


def page_of(sources: Sources, **wanted: Any) -> str:
    """The whole page, whose notes nobody hears."""
    return build_report(sources, Wanted(**wanted), notify=lambda note: None)


def facts_of(sources: Sources, **changes: Any) -> Facts:
    """Facts as the sections get them, without pictures."""
    question = changes.get("question", Question())
    comparisons = compare(sources, question)
    found = {
        "sources": sources,
        "question": question,
        "comparisons": comparisons,
        "changes": find_changes(comparable(sources, comparisons)),
        "cards": 12,
        "album": Album(),
        "maps": Maps(),
        "created": datetime(2026, 11, 23, 20, 15, tzinfo=UTC),
    }
    return Facts(**(found | changes))


def write_facts(folder: Path, **changes: Any) -> Path:
    """Write a run's facts and its table of pictures; no weights, which a report does not open."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "name": "pets",
        "task": "single_label",
        "classes": ["cat", "dog"],
        "backbone": "efficientnet_lite0",
        "width": 8,
        "preprocess": Preprocess(32).to_steps(),
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "temperature": 1.0,
        "licence": "Apache-2.0",
        "dataset": {"path": "/pets", "fingerprint": "cd" * 32, "counts": {"train": 3, "val": 1, "test": 2}},
        "recipe": {"epochs": 3, "seed": 0},
        "steps": STEPS,
        "search": SEARCH,
        "figures": {"accuracy": {"name": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95, "n": 195}},
        "environment": {"versions": {"torch": "2.15.0"}},
        "interrupted": False,
        "format_version": 1,
    }
    (folder / "run.json").write_text(json.dumps(facts | changes), encoding="utf-8")
    rows = ["path,label,split", "a.png,cat,train", "b.png,cat,train", "c.png,dog,train"]
    rows += ["d.png,cat,val", "e.png,dog,test", "f.png,cat,test"]
    (folder / "dataset.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def run_sources(folder: Path, **changes: Any) -> Sources:
    """A run alone; see `write_facts`."""
    return read_sources([write_facts(folder / "run", **changes)])


def region_bundle(path: Path, **changes: Any) -> Path:
    """A bundle whose answer is red or green by the mean brightness of `REGION`, whatever else is there.

    Args:
        changes: fields of the manifest; of several labels it has those with a probability of a half.
    """
    variants = (tiny_variant("onnxruntime"), tiny_variant("onnxruntime", name="onnx-int8", precision="int8"))
    tiny_bundle(path, variants=variants, **changes)
    several = changes.get("task") == "multi_label"
    onnx.save(_region_model("Sigmoid" if several else "Softmax"), path / "onnx/model.onnx")
    with_manifest = write_manifest(path, _manifest(path))
    cases = _manifest(path).cases
    pixels = np.stack([np.asarray(Image.open(path / case.pixels)) for case in cases])
    for variant in variants:
        np.save(path / variant.logits, region_logits(pixels))
    return write_manifest(with_manifest, _manifest(path))


def region_logits(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 32, 32, 3) uint8 → (n, 3) float32, in NumPy."""
    light = pixels[:, *REGION].mean(axis=(1, 2, 3)) / 255 - 0.5
    return np.stack([8 * light, -8 * light, np.full_like(light, -9)], axis=1).astype(np.float32)


def _manifest(path: Path) -> Manifest:
    return Manifest.from_json((path / "manifest.json").read_text(encoding="utf-8"))


def _region_model(ending: str) -> onnx.ModelProto:
    rows, columns = REGION
    arrays = {
        "starts": np.array([rows.start, columns.start]),
        "ends": np.array([rows.stop, columns.stop]),
        "axes": np.array([1, 2]),
        "white": np.array(255, np.float32),
        "half": np.array(0.5, np.float32),
        "weight": np.array([[8, -8, 0]], np.float32),
        "bias": np.array([0, 0, -9], np.float32),
        "temperature": np.array(TEMPERATURE, np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["images", "starts", "ends", "axes"], ["region"]),
        helper.make_node("Cast", ["region"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["share"]),
        helper.make_node("Sub", ["share", "half"], ["light"]),
        helper.make_node("Unsqueeze", ["light", "one"], ["column"]),
        helper.make_node("MatMul", ["column", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Div", ["logits", "temperature"], ["cooled"]),
        helper.make_node(ending, ["cooled"], ["probabilities"]),
    ]
    arrays["one"] = np.array([1])
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 32, 32, 3])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3])
        for name in ("logits", "probabilities")
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "region", [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model
