"""How fast and how large a backbone is here: its exported graph, as a file, in the engine that will run it.

The head is drawn at random: it costs what any head of that width costs. A measurement is kept under the
machine, the versions and the weights, since it takes longer than all the advice.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import nn

from edgetl.backbones import Backbone
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import Model
from edgetl_exporters.to_onnx import to_onnx
from edgetl_exporters.to_openvino import to_openvino
from edgetl_runtime.atomic import write_json
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import InputError
from edgetl_runtime.remembered import cache_folder

_RUNS = 40
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What a backbone costs here, in OpenVINO, stored as fp16 and run in f32, one picture a call.

    p50_ms: the median. size_bytes: of its two files. int8 is smaller and faster; `export` measures it.
    """

    p50_ms: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a backbone may cost on this machine; None is no limit."""

    latency_ms: float | None = None
    size_mb: float | None = None

    def __post_init__(self) -> None:
        for name, flag in (("latency_ms", "--max-latency-ms"), ("size_mb", "--max-size-mb")):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{flag} must be a number above 0, got {value!r}.")

    def why_not(self, cost: Cost) -> str:
        """Return which limit a cost exceeds, or the empty text."""
        if self.latency_ms is not None and cost.p50_ms > self.latency_ms:
            return f"{cost.p50_ms:.1f} ms, more than {self.latency_ms:g}"
        if self.size_mb is not None and cost.size_bytes > 1e6 * self.size_mb:
            return f"{cost.size_bytes / 1e6:.1f} MB, more than {self.size_mb:g}"
        return ""


def find_cost(backbone: Backbone, classes: int) -> Cost:
    """Return what a backbone with a head of so many classes costs here, measured now or before."""
    return known_cost(backbone, classes) or measure_cost(backbone, classes)


def known_cost(backbone: Backbone, classes: int) -> Cost | None:
    """Return what was measured before, if it was."""
    path = _place(backbone, classes)
    try:
        return Cost(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # Never measured, or a file of another hand: measure again.
        return None


def measure_cost(backbone: Backbone, classes: int) -> Cost:
    """Export the backbone with a head of so many classes, run it, and keep the result."""
    module = nn.Sequential(backbone.trunk(), nn.Linear(backbone.width, classes)).eval()
    native = backbone.native
    labels = tuple(f"class {number}" for number in range(classes))
    model = Model(
        "cost", module, "single_label", labels, native.preprocess(), native.mean, native.std, temperature=1.0
    )
    pixels = np.random.default_rng(0).integers(0, 256, (_RUNS, native.size, native.size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory(prefix="edgetl-cost-") as name:
        onnx, xml = Path(name, "model.onnx"), Path(name, "model.xml")
        to_onnx(model, onnx)
        to_openvino(onnx, xml, half=True)
        measured = run_file(xml, "openvino", pixels)
        size = xml.stat().st_size + xml.with_suffix(".bin").stat().st_size
    cost = Cost(measured.p50_ms, size)
    write_json(_place(backbone, classes), asdict(cost))
    return cost


def _place(backbone: Backbone, classes: int) -> Path:
    facts = {
        "version": _VERSION,
        "machine": asdict(read_environment()),
        "backbone": backbone.name,
        "weights": backbone.weights_id,
        "size": backbone.native.size,
        "classes": classes,
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    return cache_folder() / "costs" / f"{key}.json"
