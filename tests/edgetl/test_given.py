"""An ONNX classifier that somebody else trained becomes a bundle, or is refused with the reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from edgetl.cli import main
from edgetl.events import Watcher
from edgetl.given import Given, export_given, read_classes
from edgetl_exporters.graph import array, replaced
from edgetl_exporters.to_int8 import quantize
from edgetl_runtime import InputError, Session
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.validation import validate

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
CLASSES = ("red", "blue", "green")  # Not in the order of the alphabet, as files of others are not.


class Notes(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def write_pictures(root: Path, *, per_class: int = 24) -> Path:
    """Noisy pictures of three colours."""
    generator = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(per_class):
            pixels = generator.integers(0, 150, (40, 40, 3), dtype=np.uint8)
            pixels[..., channel] += 60
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


class Colours(nn.Module):
    """Scores are the means of the channels, in the order of CLASSES, through two convolutions."""

    def __init__(self, *, softmax: bool, nhwc: bool, classes: int = 3) -> None:
        super().__init__()
        self.softmax, self.nhwc = softmax, nhwc
        torch.manual_seed(0)
        self.first, self.head = nn.Conv2d(3, 12, 3, stride=2), nn.Linear(12, classes)
        with torch.no_grad():
            for output in range(12):
                self.first.weight[output] = 0.02
                self.first.weight[output, output % 3] = 0.3
            self.head.weight.zero_()
            for score, channel in enumerate((0, 2, 1)):
                self.head.weight[score, channel::3] = 2 * STD[channel]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 3, 1, 2) if self.nhwc else x
        scores: torch.Tensor = self.head(self.first(x).mean((2, 3)))
        return scores.softmax(1) if self.softmax else scores


def write_onnx(path: Path, *, softmax: bool = False, nhwc: bool = False, classes: int = 3) -> Path:
    shape = (2, 32, 32, 3) if nhwc else (2, 3, 32, 32)
    program = torch.onnx.export(
        Colours(softmax=softmax, nhwc=nhwc, classes=classes).eval(),
        (torch.zeros(shape),),
        dynamo=True,
        external_data=False,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None
    onnx.save(program.model_proto, path)
    return path


def given(file: Path, **changes: Any) -> Given:
    described: dict[str, Any] = {
        "classes": CLASSES,
        "preprocess": Preprocess(32, 1.0),
        "mean": MEAN,
        "std": STD,
    }
    return Given(file, **(described | changes))


@pytest.mark.parametrize(("softmax", "nhwc"), [(False, False), (True, True)])
def test_a_given_file_becomes_a_bundle_that_names_its_classes_right(
    tmp_path: Path, softmax: bool, nhwc: bool
) -> None:
    data = write_pictures(tmp_path / "data")
    file = write_onnx(tmp_path / "colours.onnx", softmax=softmax, nhwc=nhwc)
    layout = "nhwc" if nhwc else "nchw"
    report = export_given(given(file, layout=layout), data, tmp_path / "bundle", max_drop=0.2)
    assert max(report.parity.values()) < 1e-4
    for row in report.variants:
        with Session.open(tmp_path / "bundle", variant=row.name) as session:
            assert session.predict(data / "green" / "0.png").label == "green"
            assert session.predict(data / "blue" / "1.png").label == "blue"


def rounding_all_away(onnx_path: Path, out: Path, **how: Any) -> None:
    """A quantizer whose first range is absurdly wide, so that every rung is climbed."""
    quantize(onnx_path, out, **how)
    model = onnx.load(out)
    scale = next(node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear")
    onnx.save(replaced(model, {scale: array(model.graph, scale) * 1e6}), out)


def test_a_file_of_more_classes_than_the_pictures_show_keeps_its_head(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data")
    file = write_onnx(tmp_path / "colours.onnx", classes=5)
    watcher = Notes()
    classes = (*CLASSES, "grey", "black")
    wanted: dict[str, Any] = {"max_drop": 0.1, "on_miss": "fp16", "quantize": rounding_all_away}
    report = export_given(given(file, classes=classes), data, tmp_path / "b", watcher=watcher, **wanted)
    assert "head solved again" not in [row.rung for row in report.rungs]
    assert (
        "The head is not solved again: no training picture shows 2 of the 5 classes, such as 'grey'."
        in watcher.notes
    )
    with Session.open(tmp_path / "b", variant="onnx-fp32") as session:
        assert session.labels == classes
        receipt = validate(session, data, split="all")
    assert receipt.figures["accuracy"].value > 0.9


def test_the_command_exports_a_given_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = write_pictures(tmp_path / "data"), write_onnx(tmp_path / "colours.onnx")
    labels = tmp_path / "labels.txt"
    labels.write_text("red\nblue\ngreen\n", encoding="utf-8")
    arguments = ["export", str(file), "--out", str(tmp_path / "b.zip"), "--data", str(data)]
    arguments += ["--classes", str(labels), "--mean", *map(str, MEAN), "--std", *map(str, STD)]
    arguments += ["--size", "32", "--crop", "1", "--max-drop", "20pp", "--calibration", "9"]
    arguments += ["--licence", "MIT", "--data-licence", "CC0-1.0"]
    assert main([*arguments, "--variants", "onnx-int8, openvino-fp32"]) == 0
    with Session.open(tmp_path / "b.zip") as session:
        assert session.labels == CLASSES
        assert [one.name for one in session.manifest.variants] == ["onnx-int8", "openvino-fp32"]
        assert session.manifest.provenance["dataset"]["licence"] == "CC0-1.0"
        bill = json.loads(session.bundle.path("sbom.cdx.json").read_text(encoding="utf-8"))
    assert [one["licenses"][0]["license"]["name"] for one in bill["components"][:2]] == ["MIT", "CC0-1.0"]
    assert main(arguments[:4]) == 2
    assert "needs --data, pictures of its classes, and --classes" in capsys.readouterr().err


def test_a_swapped_file_of_labels_is_refused_by_what_is_taken_for_what(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data", per_class=90)
    file = write_onnx(tmp_path / "colours.onnx")
    with pytest.raises(InputError, match="in another order than the scores: 'green' is answered 'red'"):
        export_given(given(file, classes=("green", "blue", "red")), data, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("red", "green")}, r"show classes that --classes does not name: 'blue'"),
        ({"classes": (*CLASSES, "grey")}, r"gives 'linear' \[None, 3\], not one tensor of 4 classes"),
        ({"preprocess": Preprocess(64)}, r"takes 'x' \[None, 3, 32, 32\], not \(None, 3, 64, 64\)"),
        ({"layout": "nhwc"}, r"not \(None, 32, 32, 3\) \(nhwc\); see --layout and --size"),
    ],
)
def test_what_does_not_fit_the_file_is_refused(tmp_path: Path, changes: Any, message: str) -> None:
    data, file = write_pictures(tmp_path / "data", per_class=8), write_onnx(tmp_path / "colours.onnx")
    with pytest.raises(InputError, match=message):
        export_given(given(file, **changes), data, tmp_path / "bundle")


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not a network")
    with pytest.raises(InputError, match=r"x.onnx' cannot be exported: onnx cannot read it"):
        export_given(given(tmp_path / "x.onnx"), write_pictures(tmp_path / "d", per_class=8), tmp_path / "b")


def test_classes_may_be_listed_by_an_editor_on_windows_or_macos(tmp_path: Path) -> None:
    """The one begins with a byte order mark, the other writes é as two characters."""
    (tmp_path / "labels.txt").write_bytes("\ufeffchat\r\ncafe\u0301\r\n".encode())
    assert read_classes(tmp_path / "labels.txt") == ("chat", "caf\u00e9")


@pytest.mark.parametrize("text", ["one\n", "a\nb\na\n"])
def test_too_few_classes_or_one_twice_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="must name two classes or more, one a line, none twice"):
        read_classes(tmp_path / "labels.txt")
