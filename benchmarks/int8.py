"""What int8 buys and costs here: time beside f32 and bf16, accuracy by quantizer and kind of head."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.machine import interleaved_ms, medians, ratio
from benchmarks.targets import Row
from edgetl.dataset import load_dataset
from edgetl.pipeline import head_solver
from edgetl.roles import halves
from edgetl.run import read_run
from edgetl_exporters.calibration import calibration_pictures
from edgetl_exporters.graph import features_only, with_head
from edgetl_exporters.measure import Judged, agreeing, judge, run_file
from edgetl_exporters.model import Labelled
from edgetl_exporters.to_int8 import Plan, Quantizer, quantize
from edgetl_runtime import Bundle
from edgetl_runtime.engines import load_engine
from edgetl_runtime.manifest import Execution
from edgetl_runtime.pictures import Task
from edgetl_runtime.statistics import wilson

_ROUNDS = 300
_VARIANTS: dict[str, tuple[str, Execution]] = {
    "f32": ("openvino-fp16", "f32"),
    "bf16": ("openvino-fp16", "bf16"),
    "int8": ("openvino-int8", "f32"),
}
_CALIBRATION = 300
_BATCH = 16


def measure_speed(bundle: Path) -> dict[str, Any]:
    """Time batch 1 of the uint8 graph in OpenVINO: f32, bf16 and int8, a round each."""
    engine = load_engine("openvino")
    with Bundle.open(bundle) as opened:
        side = opened.manifest.preprocess.size
        image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        runs: dict[str, Callable[[], object]] = {}
        for label, (name, execution) in _VARIANTS.items():
            file = opened.path(opened.manifest.variant(name).model)
            compiled = engine(file, device="cpu", execution=execution, batch=1, threads=None)
            runs[label] = lambda compiled=compiled: compiled.run(image)
        times = interleaved_ms(runs, _ROUNDS, warm_up=20)
    faster = ratio(times, "f32", "int8")
    return {
        "p50_ms": medians(times),
        "f32 / int8": faster,
        "f32 / bf16": ratio(times, "f32", "bf16"),
        "targets": [Row("int8, times faster than f32", faster, 2.5, at_least=True).facts()],
    }


def measure_heads(csv: Path, run_folder: Path, bundle: Path) -> dict[str, Any]:
    """Quantize as the standard tools do, classifier included; keep it in float; solve it on int8 features.

    All in ONNX Runtime, on the test pictures, beside the float file: accuracies, and agreement ± 95 %.
    """
    run, dataset = read_run(run_folder), load_dataset(csv)
    train, choose, test = (
        Labelled(_pixels(run.preprocess, pictures), dataset.targets(pictures))
        for pictures in (dataset.train, halves(dataset.val)[0], dataset.test)
    )
    images = calibration_pictures(train, _CALIBRATION)
    found: dict[str, Any] = {}
    with Bundle.open(bundle) as opened, TemporaryDirectory() as folder:
        source = opened.path(opened.manifest.variant("onnx-fp32").model)
        teacher = _judged(run.task, source, test)
        for quantizer in get_args(Quantizer):
            for float_classifier in (False, True):
                path = Path(folder) / f"{quantizer}-{float_classifier}.onnx"
                plan = Plan(quantizer, float_classifier=float_classifier)
                quantize(source, path, plan=plan, images=images)
                name = f"{quantizer}, classifier in {'float' if float_classifier else 'int8'}"
                found[name] = _beside(teacher, _judged(run.task, path, test))
            _solve_again(run.task, path, train, choose)
            found[f"{quantizer}, classifier solved again"] = _beside(teacher, _judged(run.task, path, test))
    return found


def _solve_again(task: Task, path: Path, train: Labelled, choose: Labelled) -> None:
    """Put a head into an int8 file that is solved on the features that the file itself gives."""
    model, bare = onnx.load(path), path.with_suffix(".features.onnx")
    onnx.save(features_only(model), bare)
    fitted, judging = (
        run_file(bare, "onnxruntime", one.pixels, batch=_BATCH).logits for one in (train, choose)
    )
    solve = head_solver(task, np.ones(2, np.float32))
    weight, bias = solve(fitted, train.targets, judging, choose.targets)
    onnx.save(with_head(model, weight, bias), path)


def _judged(task: Task, file: Path, test: Labelled) -> Judged:
    return judge(task, run_file(file, "onnxruntime", test.pixels, batch=_BATCH).logits, test.targets, 1.0)


def _beside(teacher: Judged, judged: Judged) -> dict[str, Any]:
    same = agreeing(teacher, judged)
    agreement = wilson(int(same.sum()), len(same))
    return {
        "accuracy": round(judged.accuracy.value, 4),
        "balanced_accuracy": round(float(judged.balanced_accuracy or 0), 4),
        "agreement with float": [
            round(value, 4) for value in (float(same.mean()), agreement.low, agreement.high)
        ],
    }


def _pixels(preprocess: Any, pictures: Any) -> NDArray[np.uint8]:
    return np.stack([preprocess(one.path) for one in pictures])
