"""What a trained run says of test pictures, without the time that eager torch would take for ten thousand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray

from edgetl.run import read_module, read_run
from edgetl_runtime.pictures import Picture

_BATCH = 16


def probabilities(run_folder: Path, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Return (n, classes): the trained module in OpenVINO, f32, pictures preprocessed as on a device."""
    run, module = read_run(run_folder), read_module(run_folder)
    side = run.preprocess.size
    mean, std = (np.array(values, np.float32) for values in (run.mean, run.std))
    program = torch.export.export(module.eval(), (torch.zeros(_BATCH, 3, side, side),))
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.convert_model(program), "CPU", settings)
    parts = []
    for start in range(0, len(pictures), _BATCH):
        chosen = pictures[start : start + _BATCH]
        pixels = np.zeros((_BATCH, side, side, 3), np.float32)
        pixels[: len(chosen)] = [run.preprocess(one.path) for one in chosen]
        images = np.ascontiguousarray(((pixels / 255 - mean) / std).transpose(0, 3, 1, 2))
        parts.append(_softmax(compiled(images)[0])[: len(chosen)])
    return np.concatenate(parts)


def _softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: NDArray[np.float32] = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    return shares
