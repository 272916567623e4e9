"""Is the exported float model the trained one? Torch, ONNX Runtime and OpenVINO on every test picture."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.targets import Row
from edgetl.dataset import load_dataset
from edgetl.run import read_module, read_run
from edgetl_exporters.measure import run_file
from edgetl_exporters.to_openvino import to_openvino
from edgetl_runtime import Bundle


def measure(csv: Path, run_folder: Path, bundle: Path) -> dict[str, Any]:
    """Return the top-1 agreement and the largest difference of logits, pair by pair."""
    run = read_run(run_folder)
    pictures = load_dataset(csv).test
    with ThreadPoolExecutor(2) as pool:
        pixels = np.stack(list(pool.map(run.preprocess, [one.path for one in pictures])))
    logits = {"torch": _torch_logits(run_folder, pixels)}
    with Bundle.open(bundle) as opened, TemporaryDirectory() as folder:
        onnx, ir = opened.path(opened.manifest.variant("onnx-fp32").model), Path(folder) / "model.xml"
        to_openvino(onnx, ir, half=False)
        logits["onnx-fp32"] = run_file(onnx, "onnxruntime", pixels).logits
        logits["openvino-fp32"] = run_file(ir, "openvino", pixels).logits
    reference = logits.pop("torch")
    figures: dict[str, Any] = {
        name: {
            "n": len(pixels),
            "top1_agreement": float((found.argmax(1) == reference.argmax(1)).mean()),
            "largest_logit_difference": float(np.abs(found - reference).max()),
        }
        for name, found in logits.items()
    }
    rows = [Row(f"{name} as torch", one["top1_agreement"], 1, at_least=True) for name, one in figures.items()]
    return figures | {"targets": [row.facts() for row in rows]}


def _torch_logits(run_folder: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    run, module = read_run(run_folder), read_module(run_folder)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (run.mean, run.std))
    parts = []
    with torch.no_grad():
        for start in range(0, len(pixels), 32):
            images = torch.from_numpy(pixels[start : start + 32]).permute(0, 3, 1, 2).float() / 255
            parts.append(module((images - mean) / std).numpy())
    return np.concatenate(parts)
