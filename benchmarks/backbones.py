"""Export every backbone of edge size and compare: docs/backbones.md holds what was found, and grows.

    python -m benchmarks.backbones                      all that are not in the page yet, hours
    python -m benchmarks.backbones --names timm/resnet18 torchvision/mobilenet_v2 --again

Each network runs in a process of its own, so that one that crashes or never ends costs its own row alone.
Weights are the pretrained ones where they lie on this machine. Random ones would make a network that answers
nearly the same to everything, and a constant agrees with anything: batch norms are estimated again on the
pictures, the head scales what is left, and answers must vary.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from edgetl.backbones import Backbone, create_backbone, list_backbones
from edgetl_exporters.measure import run_file
from edgetl_exporters.model import Model, Pixels
from edgetl_exporters.parity import MOST_OFF, same_answers
from edgetl_exporters.sources import own_logits, write_graph
from edgetl_exporters.to_openvino import to_openvino
from edgetl_runtime.atomic import write_text

MOST_PARAMETERS = 30_000_000
PICTURES = 256
_ESTIMATED_ON = 32  # of the pictures: batch norms and the head
_CLASSES = 10
_SECONDS = 900
_ROOT = Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "backbones.md"
_INTRODUCTION = f"""# Backbones that export

Written by `python -m benchmarks.backbones`: every backbone of at most 30 million parameters that was tried,
with a head of {_CLASSES} classes, in float32 through ONNX Runtime and OpenVINO, against torch on squares of
seven photographs. Weights that were not on the machine were random, batch norms estimated on the pictures;
answers vary for every network of the first table. All answers agree, but for ties that rounding decides.
*Off* is the largest difference of a logit, as a share of their range: at most {MOST_OFF:g}.
"""
_HEADER = "| backbone | million parameters | pixels | weights | pictures | different answers | off |"
_TOO_LARGE = "Too large to be tried: "


@dataclass(frozen=True, slots=True)
class Row:
    """A backbone's line. agree: of `n` pictures, by engine; answers: how many different ones there were.

    off: the largest difference of a logit, as a share of their range. problem: empty where all is well.
    """

    name: str
    parameters: int = 0
    size: int = 0
    weights: str = ""
    n: int = 0
    answers: int = 0
    onnxruntime: int = 0
    openvino: int = 0
    off: float = 0.0
    problem: str = ""


def check(name: str, pictures: int = PICTURES, weights: str = "none") -> Row:
    """Export one backbone with a head and compare both engines with torch on real pictures."""
    backbone = create_backbone(name, weights="default" if weights == "default" else "none")
    parameters = sum(one.numel() for one in backbone.trunk().parameters())
    if parameters > MOST_PARAMETERS:
        return Row(name, parameters, problem="too large")
    native = backbone.native
    pixels = photographs(native.size, pictures)
    module = varied(backbone, pixels)
    classes = tuple(f"class {number}" for number in range(_CLASSES))
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
    found = Row(name, parameters, native.size, weights, pictures, len(np.unique(answers)), **same, off=off)
    return Row(**(asdict(found) | {"problem": _problem(found)}))


def _problem(row: Row) -> str:
    if row.answers < 3:
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
        head = nn.Linear(backbone.width, _CLASSES)
        head.weight.copy_(torch.randn(_CLASSES, backbone.width) / spread / backbone.width**0.5)
        head.bias.copy_(-head.weight @ features.mean(0))
    return nn.Sequential(trunk, head).eval()


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the names that the page does not have, and write it after each."""
    parser = argparse.ArgumentParser(description="Export every backbone of edge size and compare.")
    parser.add_argument("--names", nargs="*", help="only these, as `edgetl backbones` prints them")
    parser.add_argument("--again", action="store_true", help="those too that the page has")
    parser.add_argument("--pictures", type=int, default=PICTURES, help=f"for each; default: {PICTURES}")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        name, weights = given.one.rsplit(":", 1)
        print(json.dumps(asdict(check(name, given.pictures, weights))))
        return 0
    infos = {info.name: info for info in list_backbones()}
    for name in given.names or infos:
        rows = read_page(_PAGE.read_text(encoding="utf-8")) if _PAGE.exists() else {}
        if name in rows and not given.again:
            continue
        weights = "default" if infos[name].installed else "none"
        rows[name] = _in_a_process(name, weights, given.pictures)
        write_text(_PAGE, page(list(rows.values())))
        print(name, rows[name].problem or "agrees", flush=True)
    return 0


def _in_a_process(name: str, weights: str, pictures: int) -> Row:
    command = [sys.executable, "-m", "benchmarks.backbones", "--one", f"{name}:{weights}"]
    command += ["--pictures", str(pictures)]
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, cwd=_ROOT, check=False
        )
    except subprocess.TimeoutExpired:
        return Row(name, problem=f"not done after {_SECONDS} s")
    if ran.returncode != 0:
        told = [line for line in ran.stderr.splitlines() if line.strip()] or [f"exit code {ran.returncode}"]
        return Row(name, problem=told[-1][:160])
    return Row(**json.loads(ran.stdout.splitlines()[-1]))


def page(rows: Sequence[Row]) -> str:
    """Return docs/backbones.md, from which `read_page` gets the rows back."""
    rows = sorted(rows, key=lambda row: row.name)
    small = [row for row in rows if row.problem != "too large"]
    good, bad = [row for row in small if not row.problem], [row for row in small if row.problem]
    large = [row.name for row in rows if row.problem == "too large"]
    lines = [
        _INTRODUCTION,
        f"{len(good)} of {len(small)} agree on every picture with both engines.",
        "",
        _HEADER,
        "|---|---|---|---|---|---|---|",
    ]
    for row in good:
        weights = "pretrained" if row.weights == "default" else "random"
        start = f"| {row.name} | {row.parameters / 1e6:.1f} | {row.size} | {weights}"
        lines.append(f"{start} | {row.n} | {row.answers} | {row.off:.0e} |")
    if bad:
        lines += ["", "Those that do not, and why:", "", "| backbone | reason |", "|---|---|"]
        lines += [f"| {row.name} | {row.problem.replace('|', '/')} |" for row in bad]
    if large:
        lines += ["", f"{_TOO_LARGE}{', '.join(large)}."]
    return "\n".join(lines) + "\n"


def read_page(text: str) -> dict[str, Row]:
    """Return the rows of a page by their names."""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith(_TOO_LARGE):
            names = line.removeprefix(_TOO_LARGE).removesuffix(".").split(", ")
            rows += [Row(name, problem="too large") for name in names]
        elif len(cells) == 7 and re.fullmatch(r"[\d.]+", cells[1]):
            rows.append(_good(*cells))
        elif len(cells) == 2 and cells[0] not in ("backbone", "---"):
            rows.append(Row(cells[0], problem=cells[1]))
    return {row.name: row for row in rows}


def _good(name: str, millions: str, size: str, weights: str, n: str, answers: str, off: str) -> Row:
    found = Row(name, round(1e6 * float(millions)), int(size), off=float(off), answers=int(answers))
    kind = "default" if weights == "pretrained" else "none"
    return replace(found, weights=kind, n=int(n), onnxruntime=int(n), openvino=int(n))


if __name__ == "__main__":
    sys.exit(main())
