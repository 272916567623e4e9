"""Export every backbone of edge size and compare: docs/backbones.md holds what was found, and grows.

    python -m benchmarks.backbones                      all that are not in the page yet, hours
    python -m benchmarks.backbones --names timm/resnet18 torchvision/mobilenet_v2 --again

Networks are taken in the order of a hash, so that those of one family do not come together. They run in
processes of their own: one that crashes or never ends costs its own row alone. Weights are the pretrained
ones where they lie on this machine. Random ones would make a network that answers nearly the same to
everything, and a constant agrees with anything: batch norms are estimated again on the pictures, the head
scales what is left, and answers must vary.
"""

import argparse
import copy
import gc
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import timm
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.backbones_table import CLASSES, MOST_PARAMETERS, Row, page, read_page
from benchmarks.child import CallError, Child
from edgetl.backbones import Backbone, BackboneInfo, create_backbone, list_backbones
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import Model, Pixels
from edgetl_exporters.parity import MOST_OFF, same_answers
from edgetl_exporters.sources import own_logits, write_graph
from edgetl_exporters.to_openvino import to_openvino
from edgetl_runtime.atomic import write_text

PICTURES = 16
_ESTIMATED_ON = 8  # of the pictures: batch norms and the head
_LEAST_ANSWERS = 3
_SECONDS = 900
_CALLS = 60  # of one process: what is not given back is given back with it
_HERE = Path(__file__).parent
_PAGE = _HERE.parent / "docs" / "backbones.md"
_SIZES = _HERE / "results" / "backbones.json"


def check(name: str, pictures: int = PICTURES, weights: str = "none") -> Row:
    """Export one backbone with a head and compare both engines with torch on real pictures."""
    backbone = create_backbone(name, weights="default" if weights == "default" else "none")
    count = sum(one.numel() for one in backbone.trunk().parameters())
    native = backbone.native
    pixels = photographs(native.size, pictures)
    module = varied(backbone, pixels)
    classes = tuple(f"class {number}" for number in range(CLASSES))
    model = Model(
        name, module, "single_label", classes, native.preprocess(), native.mean, native.std, temperature=2.0
    )
    wanted = own_logits(model, pixels)
    with tempfile.TemporaryDirectory() as folder:
        onnx, xml = Path(folder) / "model.onnx", Path(folder) / "model.xml"
        write_graph(model, onnx)
        to_openvino(onnx, xml, half=False)
        got = {
            "onnxruntime": run_file(onnx, "onnxruntime", pixels, batch=4).logits,
            "openvino": run_file(xml, "openvino", pixels, batch=4).logits,
        }
    answers = wanted.argmax(axis=1)
    same = {engine: int(same_answers(model.task, wanted, logits).sum()) for engine, logits in got.items()}
    off = max(float(np.abs(logits - wanted).max()) for logits in got.values()) / float(np.ptp(wanted))
    found = Row(name, count, native.size, weights, pictures, len(np.unique(answers)), **same, off=off)
    problem = _problem(found)
    if problem and found.answers >= _LEAST_ANSWERS:
        problem += f"; torch's own rounding is {_rounding(model, pixels, wanted):.0e}"
    return replace(found, problem=problem)


def _rounding(model: Model, pixels: Pixels, logits: NDArray[np.float32]) -> float:
    """Return how far torch's float32 is from its float64, as a share of the range."""
    assert isinstance(model.module, nn.Module)
    exact = replace(model, module=_Doubled(model.module))
    return float(np.abs(own_logits(exact, pixels) - logits).max()) / float(np.ptp(logits))


class _Doubled(nn.Module):
    """A network that computes in float64."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = copy.deepcopy(module).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute (n, 3, size, size) in float64."""
        scores: torch.Tensor = self._module(x.double())
        return scores


def _problem(row: Row) -> str:
    if row.answers < _LEAST_ANSWERS:
        return f"gives {row.answers} different answers to {row.n} pictures: nothing is compared"
    if min(row.onnxruntime, row.openvino) < row.n:
        return f"{row.onnxruntime} and {row.openvino} of {row.n} answers agree"
    if not row.off <= MOST_OFF:
        return f"logits are off by {row.off:.0e} of their range"
    return ""


def photographs(size: int, count: int) -> Pixels:
    """Cut squares of all sizes out of the photographs that come with scikit-image and scikit-learn."""
    generator = np.random.default_rng(0)
    sources = _sources()
    squares = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        source = sources[number % len(sources)]
        side = int(generator.integers(80, min(source.size)))
        left, top = (int(generator.integers(0, edge - side + 1)) for edge in source.size)
        square = source.crop((left, top, left + side, top + side))
        squares[number] = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
    return squares


def _sources() -> list[Image.Image]:
    from skimage import data
    from sklearn.datasets import load_sample_images

    shown = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.immunohistochemistry()]
    return [Image.fromarray(np.asarray(one)) for one in (*shown, *load_sample_images().images)]


def varied(backbone: Backbone, pixels: NDArray[np.uint8]) -> nn.Sequential:
    """Join a backbone and a head whose answers differ from picture to picture."""
    trunk = backbone.trunk()
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (backbone.native.mean, backbone.native.std))
    x = (torch.from_numpy(pixels[:_ESTIMATED_ON]).permute(0, 3, 1, 2).float() / 255 - mean) / std
    norms = [part for part in trunk.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    torch.manual_seed(0)
    with torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # A plain mean over the batches that follow.
            norm.train()
        for part in x.split(8) if norms else ():
            trunk(part)
        trunk.eval()
        features = torch.cat([trunk(part) for part in x.split(8)])
        spread = features.std(0).clamp_min(1e-3 * float(features.std()) + 1e-12)
        head = nn.Linear(backbone.width, CLASSES)
        head.weight.copy_(torch.randn(CLASSES, backbone.width) / spread / backbone.width**0.5)
        head.bias.copy_(-head.weight @ features.mean(0))
    return nn.Sequential(trunk, head).eval()


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the names that the page does not have, and write it after each."""
    parser = argparse.ArgumentParser(description="Export every backbone of edge size and compare.")
    parser.add_argument("--names", nargs="*", help="only these, as `edgetl backbones` prints them")
    parser.add_argument("--again", action="store_true", help="those too that the page has")
    parser.add_argument("--pictures", type=int, default=PICTURES, help=f"for each; default: {PICTURES}")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each; default: 2")
    given = parser.parse_args(arguments)
    small = _small()
    rows = read_page(_PAGE.read_text(encoding="utf-8")) if _PAGE.exists() else {}
    wanted = [name for name in given.names or small if given.again or name not in rows]
    for row in _checked(wanted, given.pictures, given.processes):
        rows[row.name] = row
        write_text(_PAGE, page(list(rows.values()), len(small)))
        print(row.name, row.problem or "agrees", flush=True)
    return 0


def _small() -> list[str]:
    """Return the names of edge size; counting the parameters of all takes minutes, so they are kept."""
    if not _SIZES.exists():
        sizes = {info.name: _parameters(info) for info in list_backbones()}
        _SIZES.parent.mkdir(parents=True, exist_ok=True)
        write_text(_SIZES, json.dumps(sizes, indent=2))
    sizes = json.loads(_SIZES.read_text(encoding="utf-8"))
    names = [name for name, count in sizes.items() if count <= MOST_PARAMETERS]
    return sorted(names, key=lambda name: sha256(name.encode()).digest())


def _parameters(info: BackboneInfo) -> int:
    """Count without making them, or read what torchvision says, whose number has the classifier in it."""
    name = info.name.rpartition("/")[2]
    if info.source == "torchvision":
        weights = torchvision.models.get_model_weights(name)
        return int(next(iter(weights)).meta["num_params"])
    with torch.device("meta"):
        network = timm.create_model(f"tf_{name}" if info.source == "lite" else name, num_classes=0)
    return sum(one.numel() for one in network.parameters())


def _checked(names: Sequence[str], pictures: int, processes: int) -> Iterator[Row]:
    """Yield a row for each name, as they are done."""
    installed = {info.name for info in list_backbones() if info.installed}
    children, done = SimpleQueue[Child](), SimpleQueue[Row]()
    for _ in range(processes):
        children.put(Child(_check_alone, calls=_CALLS))

    def work(name: str) -> None:
        child = children.get()
        try:
            row = child.call(name, pictures, "default" if name in installed else "none", seconds=_SECONDS)
        except CallError as error:
            row = Row(name, problem=" ".join(str(error).split())[:160])
        children.put(child)
        done.put(row)

    with ThreadPoolExecutor(processes) as pool:
        for name in names:
            pool.submit(work, name)
        for _ in names:
            yield done.get()


def _check_alone(name: str, pictures: int, weights: str) -> Row:
    torch.set_num_threads(1)
    gc.disable()  # An export makes millions of objects, and collecting among them takes a tenth of the time.
    try:
        return check(name, pictures, weights)
    finally:
        gc.enable()
        gc.collect()


if __name__ == "__main__":
    sys.exit(main())
