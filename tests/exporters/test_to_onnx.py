"""The exported graph: pixels in, probabilities out, the same bytes each time, and no local path."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exporter_factories import CLASSES, MEAN, SIZE, STD, colours, tiny_model
from torch import nn

from edgetl_exporters.to_onnx import to_onnx, torch_logits
from edgetl_runtime.engines import load_engine


def run(path: Path, pixels: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    engine = load_engine("onnxruntime")(path, device="cpu", execution="f32", batch=batch, threads=1)
    return engine.run(pixels)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    to_onnx(tiny_model(), path)
    return path


def test_the_graph_takes_pixels_of_any_batch_and_gives_logits_and_probabilities(exported: Path) -> None:
    graph = onnx.load(exported).graph
    ports = {port.name: port.type.tensor_type for port in (*graph.input, *graph.output)}
    shapes = {name: [d.dim_param or d.dim_value for d in port.shape.dim] for name, port in ports.items()}
    assert shapes == {"images": ["N", SIZE, SIZE, 3], "logits": ["N", 3], "probabilities": ["N", 3]}
    assert ports["images"].elem_type == onnx.TensorProto.UINT8


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_it_answers_like_the_module_at_any_batch(exported: Path, batch: int) -> None:
    pixels = colours(batch, 7).pixels
    logits, _ = run(exported, pixels, batch)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        expected = tiny_model().module((planes - mean) / std).numpy()
    assert logits == pytest.approx(expected, abs=1e-4)
    assert torch_logits(tiny_model(), pixels, batch=2) == pytest.approx(expected, abs=1e-5)


def test_the_temperature_is_inside_and_divides_what_the_softmax_gets(exported: Path) -> None:
    logits, probabilities = run(exported, colours(4, 7).pixels, 4)
    powers = np.exp(logits / 1.5)
    assert probabilities == pytest.approx(powers / powers.sum(axis=1, keepdims=True), abs=1e-5)


def test_several_labels_get_a_sigmoid(tmp_path: Path) -> None:
    to_onnx(tiny_model(task="multi_label"), tmp_path / "model.onnx")
    logits, probabilities = run(tmp_path / "model.onnx", colours(4, 7).pixels, 4)
    assert probabilities == pytest.approx(1 / (1 + np.exp(-logits / 1.5)), abs=1e-5)


def test_equal_models_give_equal_bytes_without_local_paths(exported: Path, tmp_path: Path) -> None:
    to_onnx(tiny_model(), tmp_path / "again.onnx")
    data = exported.read_bytes()
    assert data == (tmp_path / "again.onnx").read_bytes()
    assert [needle for needle in (b"/work", b"/tmp", b".py", b"site-packages") if needle in data] == []


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    to_onnx(tiny_model(), tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keepdim", [True, False])
def test_means_over_pixels_become_poolings(tmp_path: Path, keepdim: bool) -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3), keepdim=keepdim)

    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), Mean(), nn.Flatten(), nn.Linear(8, len(CLASSES))).eval()
    to_onnx(tiny_model(module=module), tmp_path / "model.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert ("GlobalAveragePool" in kinds) is keepdim
    pixels = colours(4, 7).pixels
    expected = torch_logits(tiny_model(module=module), pixels)
    assert run(tmp_path / "model.onnx", pixels, 4)[0] == pytest.approx(expected, abs=1e-4)


def test_the_weights_are_inside_the_file(tmp_path: Path) -> None:
    to_onnx(tiny_model(), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    assert [tensor.name for tensor in model.graph.initializer if tensor.data_location] == []


class Windows(nn.Module):
    """Attention within four windows of a picture: five dimensions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = self.patches(x).reshape(-1, 2, 4, 4, 16).permute(0, 3, 1, 4, 2)
        mixed = nn.functional.scaled_dot_product_attention(windows, windows, windows)
        scores: torch.Tensor = self.head(mixed.permute(0, 2, 4, 1, 3).flatten(1, 2).mean((2, 3)))
        return scores


def test_attention_within_windows_is_exported(tmp_path: Path) -> None:
    model, pixels = tiny_model(module=Windows().eval()), colours(7, 1).pixels
    to_onnx(model, tmp_path / "model.onnx")
    wanted = torch_logits(model, pixels)
    got, _ = run(tmp_path / "model.onnx", pixels, 7)
    assert np.abs(got - wanted).max() < 1e-5 * np.ptp(wanted)
    assert len(np.unique(wanted.round(4), axis=0)) == 7
