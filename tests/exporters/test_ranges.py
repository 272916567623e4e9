"""Ranges of activations by OpenVINO are those that ONNX Runtime's own calibration finds."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exporter_factories import colours, tiny_model
from onnxruntime.quantization.calibrate import MinMaxCalibrater
from torch import nn

from edgetl_exporters.graph import normalised_pixels
from edgetl_exporters.ranges import extremes, with_room
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_int8 import Reader


class Attending(nn.Module):
    """A network with tensors whose first axis is not the batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.mix, self.head = nn.Conv2d(3, 8, 8, stride=8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)  # (n, 16, 8)
        x = self.mix(x.reshape(-1, 4, 8)).softmax(1).reshape(-1, 16, 8)
        scores: torch.Tensor = self.head(x.mean(1))
        return scores


@pytest.mark.parametrize("count", [20, 13])
@pytest.mark.parametrize("module", [tiny_model().module, Attending()], ids=["convolutions", "attention"])
def test_ranges_are_those_of_the_quantizers_own_calibration(
    tmp_path: Path, module: nn.Module, count: int
) -> None:
    source, images = tmp_path / "model.onnx", colours(count, 1).pixels
    write_graph(tiny_model(module=module.eval()), source)
    calibrater = MinMaxCalibrater(source, augmented_model_path=str(tmp_path / "augmented.onnx"))
    calibrater.augment_graph()
    calibrater.create_inference_session()
    calibrater.collect_data(Reader(images))
    found = extremes(source, images, tmp_path)
    computed = {name for node in onnx.load(source).graph.node for name in node.output}
    wanted = {name: ends for name, ends in calibrater.compute_data().data.items() if name in computed}
    assert wanted.keys() == found.keys()
    pixels = normalised_pixels(onnx.load(source))
    for name, ends in wanted.items():
        low, high = (np.float32(end.reshape(())) for end in ends.range_value)
        assert found[name] == pytest.approx(with_room(low, high) if name in pixels else (low, high), abs=1e-4)


def test_a_range_is_widened_only_where_zero_lies_half_way() -> None:
    one = np.float32(1)
    assert with_room(-one, one) == pytest.approx((-1 - 1 / 510, 1 + 1 / 510))
    assert with_room(np.float32(-2.1179), np.float32(2.64)) == pytest.approx((-2.1179, 2.64))


@pytest.mark.parametrize("mean", [0.5, 0.4])
def test_no_pixel_lies_half_way_between_two_steps(tmp_path: Path, mean: float) -> None:
    source = tmp_path / "model.onnx"
    write_graph(tiny_model(mean=(mean,) * 3, std=(0.5,) * 3), source)
    every = np.arange(256, dtype=np.uint8)
    images = np.broadcast_to(np.resize(every, (32, 32))[None, :, :, None], (1, 32, 32, 3)).copy()
    (pixels,) = normalised_pixels(onnx.load(source))
    low, high = map(float, extremes(source, images, tmp_path)[pixels])
    steps = (every / 255 - mean) / 0.5 * 255 / (high - low)
    assert np.abs(steps - np.floor(steps) - 0.5).min() > 1e-4
