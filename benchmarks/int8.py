"""What int8 buys and costs here: time beside f32 and bf16, accuracy by quantizer, plain and as shipped."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import interleaved_ms, medians, ratio
from edgetl.dataset import load_dataset
from edgetl.run import read_run
from edgetl_exporters.calibration import calibration_pictures
from edgetl_exporters.measure import judge, run_file
from edgetl_exporters.model import Labelled
from edgetl_exporters.to_int8 import Plan, Quantizer, quantize
from edgetl_runtime import Bundle
from edgetl_runtime.engines import load_engine
from edgetl_runtime.manifest import Execution

_ROUNDS = 300
_VARIANTS: dict[str, tuple[str, Execution]] = {
    "f32": ("openvino-fp16", "f32"),
    "bf16": ("openvino-fp16", "bf16"),
    "int8": ("openvino-int8", "f32"),
}
_CALIBRATION = 300


def measure_speed(bundle: Path) -> dict[str, Any]:
    """Time batch 1 of the uint8 graph in OpenVINO: f32, bf16 and int8, a round each."""
    engine = load_engine("openvino")
    with Bundle.open(bundle) as opened:
        side = opened.manifest.preprocess.size
        image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        runs: dict[str, Callable[[], object]] = {}
        files = {
            name: opened.path(opened.manifest.variant(name).model)
            for name in ("openvino-fp16", "openvino-int8")
        }
        for label, name, execution in (
            ("f32", "openvino-fp16", "f32"),
            ("bf16", "openvino-fp16", "bf16"),
            ("int8", "openvino-int8", "f32"),
        ):
            compiled = engine(files[name], device="cpu", execution=execution, batch=1, threads=None)
            runs[label] = lambda compiled=compiled: compiled.run(image)
        times = interleaved_ms(runs, _ROUNDS, warm_up=20)
    return {
        "p50_ms": medians(times),
        "f32 / int8": ratio(times, "f32", "int8"),
        "f32 / bf16": ratio(times, "f32", "bf16"),
        "target": "f32 / int8 >= 2.5",
    }


def measure_plain(csv: Path, run_folder: Path, bundle: Path) -> dict[str, Any]:
    """Quantize as the standard tools do, classifier included, and with the classifier in float."""
    run, dataset = read_run(run_folder), load_dataset(csv)
    train, test = (_pixels(run.preprocess, split) for split in (dataset.train, dataset.test))
    targets = dataset.targets(dataset.test)
    images = calibration_pictures(Labelled(train, dataset.targets(dataset.train)), _CALIBRATION)
    found: dict[str, Any] = {}
    with Bundle.open(bundle) as opened, TemporaryDirectory() as folder:
        source = opened.path(opened.manifest.variant("onnx-fp32").model)
        for quantizer in get_args(Quantizer):
            for float_classifier in (False, True):
                path = Path(folder) / f"{quantizer}-{float_classifier}.onnx"
                plan = Plan(quantizer, float_classifier=float_classifier)
                quantize(source, path, plan=plan, images=images)
                judged = judge(run.task, run_file(path, "onnxruntime", test).logits, targets, 1.0)
                name = f"{quantizer}, classifier in {'float' if float_classifier else 'int8'}"
                found[name] = {
                    "accuracy": round(judged.accuracy.value, 4),
                    "balanced_accuracy": round(float(judged.balanced_accuracy or 0), 4),
                }
    return found


def _pixels(preprocess: Any, pictures: Any) -> NDArray[np.uint8]:
    return np.stack([preprocess(one.path) for one in pictures])
