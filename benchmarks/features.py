"""Feature extraction against eager torch: the same pictures in the same process, decoding included."""

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.caches import empty_cache
from benchmarks.targets import Row
from edgetl.backbones import create_backbone
from edgetl.dataset import load_dataset
from edgetl.features import PLAIN, Extractor
from edgetl.forward import fast_precision
from edgetl.frozen import FrozenStages

_PICTURES = 128
_ROUNDS = 3


def measure(csv: Path) -> dict[str, Any]:
    """Return pictures per second of OpenVINO (f32 and the fast precision) and of eager torch."""
    pictures = load_dataset(csv).train[:_PICTURES]
    backbone = create_backbone("efficientnet_lite0")
    preprocess = backbone.native.preprocess()
    module = FrozenStages(backbone, ()).eval()
    rates: dict[str, list[float]] = {}

    def eager() -> None:
        with torch.no_grad():
            for start in range(0, len(pictures), 32):
                pixels = np.stack([preprocess(one.path) for one in pictures[start : start + 32]])
                module(torch.from_numpy(pixels))

    variants = {"eager torch": eager}
    for precision in ("f32", fast_precision()):
        extractor = Extractor(backbone, preprocess, (), precision)
        variants[f"openvino {precision}"] = lambda extractor=extractor: _extract(extractor, pictures)
    for run in variants.values():  # Compile, and fill the caches of the processor.
        run()
    for _ in range(_ROUNDS):
        for name, run in variants.items():
            begun = perf_counter()
            run()
            rates.setdefault(name, []).append(len(pictures) / (perf_counter() - begun))
    speeds = {name: round(float(np.median(values)), 1) for name, values in rates.items()}
    fast = f"openvino {fast_precision()}"
    ratio = round(speeds[fast] / speeds["eager torch"], 2)
    row = Row("times the pictures per second of eager torch", ratio, 4, at_least=True)
    return {"pictures_per_s": speeds, "targets": [row.facts()]}


def _extract(extractor: Extractor, pictures: Any) -> None:
    """Extract into an empty cache, so that nothing is read back."""
    with empty_cache():
        extractor(pictures, (PLAIN,))
