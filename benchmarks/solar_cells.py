"""The demo's model on its test split: above the solved head, and int8 against float, paired by picture."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from benchmarks.targets import Row
from edgetl.dataset import load_dataset
from edgetl.demo import RECIPE
from edgetl.features import PLAIN, Extractor
from edgetl.run import read_backbone, read_head
from edgetl.training import train
from edgetl_runtime.receipt import Receipt
from edgetl_runtime.statistics import wilson

_RESAMPLES = 2_000
Metric = Callable[[NDArray[Any], NDArray[Any]], float]


def measure(csv: Path, receipts: Path) -> dict[str, Any]:
    """Compare the receipts with one another, and with the head alone on frozen features."""
    loaded = {path.stem: Receipt.read(path) for path in sorted(receipts.glob("*.json"))}
    order = {sha: place for place, sha in enumerate(loaded["onnx-fp32"].predictions.sha256)}
    targets, head = _head_alone(csv, order)
    scores = {"head alone": head} | {name: _defective(receipt, order) for name, receipt in loaded.items()}
    result: dict[str, Any] = {
        name: {
            "auc": round(float(roc_auc_score(targets, values)), 4),
            "balanced_accuracy": round(float(balanced_accuracy_score(targets, values > 0.5)), 4),
            "accuracy": round(float(((values > 0.5) == targets).mean()), 4),
        }
        for name, values in scores.items()
    }
    for name in ("onnx-fp32", "openvino-int8"):
        result[f"{name} minus head alone, 95 % paired interval"] = {
            metric: _paired(targets, scores["head alone"], scores[name], function)
            for metric, function in (("auc", roc_auc_score), ("balanced_accuracy", _balanced))
        }
    same = (scores["openvino-int8"] > 0.5) == (scores["onnx-fp32"] > 0.5)
    agreement = wilson(int(same.sum()), len(same))
    result["agreement of openvino-int8 with onnx-fp32"] = [
        round(value, 4) for value in (float(same.mean()), agreement.low, agreement.high)
    ]
    return result | {"targets": [row.facts() for row in _rows(result)]}


def _rows(result: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what the int8 file must reach; how far above the head counts by the low end of the interval."""
    int8, source = result["openvino-int8"], result["onnx-fp32"]
    yield Row("int8: balanced accuracy", int8["balanced_accuracy"], 0.82, at_least=True)
    yield Row("int8: AUC", int8["auc"], 0.90, at_least=True)
    for metric, gain in result["openvino-int8 minus head alone, 95 % paired interval"].items():
        yield Row(f"int8 minus head alone, at least: {metric}", gain[1], 0, at_least=True)
    for metric in ("accuracy", "balanced_accuracy"):
        lost = round(100 * (source[metric] - int8[metric]), 2)
        yield Row(f"lost by int8: {metric}", lost, 1, "points")


def _head_alone(csv: Path, order: dict[str, int]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Solve the head on the same frozen features and return its probability of a defect for each picture."""
    dataset = load_dataset(csv)
    pictures = sorted(dataset.test, key=lambda one: order[one.sha256])
    with TemporaryDirectory() as folder:
        run = train(dataset, replace(RECIPE, unfreeze=()), Path(folder) / "head")
        backbone, head = read_backbone(Path(folder) / "head"), read_head(Path(folder) / "head")
    extractor = Extractor(backbone, run.preprocess, (), "f32")
    rows = extractor(pictures, (PLAIN,)).features[0]
    features = rows.take(np.arange(len(rows))).astype(np.float32)
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    logits = features @ weight.T + bias
    probabilities = 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))  # Class 0 is "defective".
    return dataset.targets(pictures) == 0, probabilities


def _defective(receipt: Receipt, order: dict[str, int]) -> NDArray[np.float64]:
    """Return the probability of a defect in the given order of pictures."""
    probabilities = receipt.predictions.probabilities
    assert probabilities is not None
    column = receipt.classes.index("defective")
    values = np.empty(len(order))
    for sha, row in zip(receipt.predictions.sha256, probabilities, strict=True):
        values[order[sha]] = row[column]
    return values


def _balanced(targets: NDArray[Any], values: NDArray[Any]) -> float:
    return float(balanced_accuracy_score(targets, values > 0.5))


def _paired(targets: NDArray[Any], before: NDArray[Any], after: NDArray[Any], metric: Metric) -> list[float]:
    """Return the difference and its bootstrap interval; pictures are drawn for both models together."""
    generator = np.random.default_rng(0)
    draws = (generator.integers(len(targets), size=len(targets)) for _ in range(_RESAMPLES))
    found = [metric(targets[draw], after[draw]) - metric(targets[draw], before[draw]) for draw in draws]
    low, high = np.quantile(found, [0.025, 0.975])
    whole = metric(targets, after) - metric(targets, before)
    return [round(float(value), 4) for value in (whole, low, high)]
