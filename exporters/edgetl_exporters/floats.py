"""The float model as files: written once, tempered, answering all pictures, and compared with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edgetl_exporters.graph import with_static_batch, with_temperature
from edgetl_exporters.measure import Judged, judge, run_file
from edgetl_exporters.model import ExportData, Floats, Model, TemperatureFitter
from edgetl_exporters.parity import PICTURES, check_parity
from edgetl_exporters.sources import own_logits, write_graph
from edgetl_exporters.to_openvino import to_openvino
from edgetl_runtime.manifest import EngineName

_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class FloatFiles:
    """The float model, tempered, and what it answers.

    onnx: with a dynamic batch. saved: the files that a bundle takes, by precision and engine. logits: of the
    choosing, then the verifying pictures. judged: the same, one for each of the two.
    """

    model: Model
    onnx: Path
    saved: Mapping[tuple[str, EngineName], Path]
    logits: Floats
    judged: tuple[Judged, Judged]

    @property
    def temperature(self) -> float:
        """Of the float model."""
        return self.judged[0].temperature


def write_floats(
    model: Model, data: ExportData, folder: Path, fit: TemperatureFitter, static_batch: int | None
) -> FloatFiles:
    """Write the float files and let them answer all choosing and verifying pictures."""
    source, probe = folder / "model.onnx", folder / "probe.xml"
    write_graph(model, source)
    to_openvino(source, probe, half=False)
    roles = (data.choose, data.verify)
    logits = [run_file(probe, "openvino", role.pixels, batch=_BATCH).logits for role in roles]
    if model.temperature is None:
        model = replace(model, temperature=float(np.float32(fit(logits[0], data.choose.targets))))
    assert model.temperature is not None
    onnx.save(with_temperature(onnx.load(source), model.temperature), source)
    temperature = model.temperature
    judged = [
        judge(model.task, rows, role.targets, temperature) for rows, role in zip(logits, roles, strict=True)
    ]
    saved = _saved(source, folder, static_batch)
    return FloatFiles(model, source, saved, np.concatenate(logits), (judged[0], judged[1]))


def parity(data: ExportData, files: FloatFiles) -> tuple[dict[str, float], int]:
    """Compare the float files with what they come from, on pictures spread over both roles.

    Returns:
        The largest absolute difference of a logit by file, and the number of pictures.
    """
    roles = (data.choose, data.verify)
    chosen = np.unique(np.linspace(0, len(files.logits) - 1, PICTURES).astype(int))
    parts = (chosen[chosen < len(data.choose)], chosen[chosen >= len(data.choose)] - len(data.choose))
    pixels = np.concatenate([role.pixels[part] for role, part in zip(roles, parts, strict=True)])
    got = {
        "onnx-fp32": run_file(files.onnx, "onnxruntime", pixels, batch=_BATCH).logits,
        "openvino-fp32": files.logits[chosen],
    }
    return check_parity(files.model, own_logits(files.model, pixels), got), len(chosen)


def _saved(source: Path, folder: Path, static_batch: int | None) -> dict[tuple[str, EngineName], Path]:
    if static_batch is not None:
        static = folder / "model-static.onnx"
        onnx.save(with_static_batch(onnx.load(source), static_batch), static)
        source = static
    fp32, fp16 = folder / "model.fp32.xml", folder / "model.fp16.xml"
    to_openvino(source, fp32, half=False)
    to_openvino(source, fp16, half=True)
    return {("fp32", "onnxruntime"): source, ("fp32", "openvino"): fp32, ("fp16", "openvino"): fp16}
