"""Times files against each other on this machine: in turns, so that noise meets all alike."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgetl_exporters.model import Pixels
from edgetl_runtime.engines import load_engine
from edgetl_runtime.manifest import EngineName

_ROUNDS = 31


def interleaved_ms(files: Mapping[str, tuple[Path, EngineName]], batch: Pixels) -> dict[str, float]:
    """Return each file's median time for a batch, (n, size, size, 3), on the CPU in f32, in turns."""
    opened = {
        name: load_engine(engine)(path, device="cpu", execution="f32", batch=len(batch), threads=None)
        for name, (path, engine) in files.items()
    }
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(_ROUNDS):
        for name, engine in opened.items():
            begun = time.perf_counter()
            engine.run(batch)
            times[name].append(1000 * (time.perf_counter() - begun))
    return {name: float(np.median(measured)) for name, measured in times.items()}
