"""The table of docs/quantization.md: what int8 costs six networks on 10,000 test pictures of Fashion-MNIST.

    python -m benchmarks.export --work DIR [--names efficientnet_lite0 …]

Every stage leaves a file in DIR, and what is there is not done again: the pictures (Debian's package
dataset-fashion-mnist), weights, run, bundle, receipts. EfficientNet-Lite0 comes with ImageNet's weights; the
others have none in any package, so they are pretrained here, on pictures that the fine-tuning does not see.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from benchmarks import fashion
from benchmarks.int8 import measure_speed
from benchmarks.pages import markdown, write_table
from edgetl.dataset import load_dataset
from edgetl.pipeline import export_run
from edgetl.recipe import Recipe
from edgetl.training import train
from edgetl_runtime import Bundle
from edgetl_runtime.atomic import replacing_file
from edgetl_runtime.commands import Where, run_validate
from edgetl_runtime.gating import gate
from edgetl_runtime.receipt import Receipt

NAMES = (
    *("efficientnet_lite0", "timm/mobilenetv2_100", "timm/mobilenetv3_small_100", "timm/resnet18"),
    *("timm/regnetx_002", "timm/mobilenetv4_conv_small"),
)
MAX_DROP = 0.005
_CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
_SIDE = 96
_LOCAL_SIDE = 48  # of those pretrained here: a quarter of the time, and the pictures have 28 pixels a side
_ROW = "row.json"
# Of the 60,000 training pictures, in their order: pretraining, fine-tuning, and the rest validates.
_PRETRAIN, _TRAIN = 44_000, 12_000
_EPOCHS, _BATCH = 2, 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the names that are not done and write the table."""
    parser = argparse.ArgumentParser(description="Measure what int8 costs on Fashion-MNIST.")
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is made on the way")
    parser.add_argument("--names", nargs="*", default=NAMES)
    given = parser.parse_args(arguments)
    data = pictures_of(given.work / "fashion")
    for name in given.names:
        print(json.dumps(measure(name, data, place(given.work, name))), flush=True)
    done = [name for name in NAMES if (place(given.work, name) / _ROW).exists()]
    rows = [measure(name, data, place(given.work, name)) for name in done]
    write_table("quantization.md", "export.py", table(rows))
    return 0


def place(work: Path, name: str) -> Path:
    """Return the folder of a network."""
    return work / name.replace("/", "-")


def measure(name: str, data: Path, work: Path) -> dict[str, Any]:
    """Take one network the whole way, or read what was found."""
    found = work / _ROW
    if not found.exists():
        run, bundle = trained(name, data, work), work / "bundle"
        if not bundle.exists():
            export_run(run, bundle, max_drop=MAX_DROP, on_miss="fp16")
        row = _row(name, bundle, data, work)
        found.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    row = _read(found)
    return row if row["rung"] == "refused" else row | {"speed": _faster(work / "bundle", work / "speed.json")}


def trained(name: str, data: Path, work: Path) -> Path:
    """Fine-tune a network's last two stages, and return the run."""
    run, is_local = work / "run", "/" in name
    if not run.exists():
        work.mkdir(parents=True, exist_ok=True)
        weights = str(pretrained(name, data.parent, work)) if is_local else "default"
        recipe = Recipe(
            backbone=name, weights=weights, size=_side(is_local), crop=1.0, unfreeze=(2,), time_budget_s=7200
        )
        train(load_dataset(data), recipe, run, source=data)
    return run


def _faster(bundle: Path, kept: Path) -> float:
    """Return how many times faster int8 is: kept apart, to be measured again on a quiet machine."""
    if not kept.exists():
        kept.write_text(json.dumps(measure_speed(bundle), indent=2) + "\n", encoding="utf-8")
    return float(_read(kept)["f32 / int8"])


def _side(is_local: bool) -> int:
    return _LOCAL_SIDE if is_local else _SIDE


def _read(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return row


def _row(name: str, bundle: Path, data: Path, work: Path) -> dict[str, Any]:
    with Bundle.open(bundle) as opened:
        manifest = opened.manifest
    variants = {variant.name: variant for variant in manifest.variants}
    receipts = {
        variant: _receipt(bundle, data, variant, work / f"{variant}.json")
        for variant in ("onnx-fp32", "openvino-fp16", "openvino-int8")
        if variant in variants
    }
    row: dict[str, Any] = {"name": name, "float": receipts["onnx-fp32"].figures["accuracy"].value}
    if "openvino-int8" not in receipts:
        return row | {"rung": "refused"}
    verdict = gate(receipts["onnx-fp32"], receipts["openvino-int8"], margin=MAX_DROP)
    contract = variants["openvino-int8"].contract
    size = {name: manifest.size_bytes(variant) for name, variant in variants.items()}
    return row | {
        "int8": verdict.after,
        "drop": verdict.drop,
        "interval": [verdict.interval.low, verdict.interval.high],
        "outcome": verdict.outcome,
        "changed": verdict.lost + verdict.gained,
        "rung": contract["rung"],
        "rungs": contract["rungs"],
        "size": {name: size[name] / size["onnx-fp32"] for name in ("openvino-int8", "onnx-int8")},
    }


def _receipt(bundle: Path, data: Path, variant: str, path: Path) -> Receipt:
    if not path.exists():
        run_validate(bundle, data, where=Where(variant)).write(path)
    return Receipt.read(path)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    header = ["network", "weights", "pixels", "float", "int8", "drop, points (90 %)", "at 0.5", "rung taken"]
    return markdown([[*header, "faster", "size, %"], *map(_line, rows)])


def _line(row: dict[str, Any]) -> list[str]:
    is_local = "/" in row["name"]
    weights = "local" if is_local else "ImageNet"
    start = [row["name"], weights, str(_side(is_local)), f"{100 * row['float']:.2f}"]
    if row["rung"] == "refused":
        return [*start, "", "", "", "refused", "", ""]
    low, high = (100 * end for end in row["interval"])
    drop = f"{100 * row['drop']:+.2f} [{low:+.2f}, {high:+.2f}]"
    size = ", ".join(f"{100 * share:.1f}" for share in row["size"].values())
    end = [row["outcome"], row["rung"], f"{row['speed']:.1f}", size]
    return [*start, f"{100 * row['int8']:.2f}", drop, *end]


def pictures_of(folder: Path) -> Path:
    """Write the pictures as PNG, and a CSV of those that the benchmark trains on; return the CSV."""
    out = folder / "fashion.csv"
    if out.exists():
        return out
    rows = []
    for split in ("train", "test"):
        images, labels = fashion.arrays(folder, split)
        for number in range(_PRETRAIN if split == "train" else 0, len(labels)):
            role = split if split == "test" else "train" if number < _PRETRAIN + _TRAIN else "val"
            path = folder / "pictures" / f"{split}-{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number]).save(path)
            rows.append((f"pictures/{path.name}", _CLASSES[labels[number]], role))
    with replacing_file(out) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return out


def pretrained(name: str, folder: Path, work: Path) -> Path:
    """Train a network of timm from random weights on the pictures that are set apart for it.

    folder: where Fashion-MNIST lies, or will.
    """
    out = work / "weights.safetensors"
    if out.exists():
        return out
    work.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network = timm.create_model(name.removeprefix("timm/"), num_classes=len(_CLASSES))
    network = network.to(device, memory_format=torch.channels_last)
    images, answers = (values[:_PRETRAIN] for values in fashion.arrays(folder, "train"))
    labels = torch.from_numpy(answers.astype(np.int64))
    steps = len(images) // _BATCH
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=_EPOCHS * steps)
    for epoch in range(_EPOCHS):
        order = np.random.default_rng(epoch).permutation(len(images))
        network.train()
        for step in range(steps):
            places = order[step * _BATCH : (step + 1) * _BATCH]
            x = _tensor(images[places]).to(device)
            loss = nn.functional.cross_entropy(network(x), labels[places].to(device), label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        print(f"{name}: epoch {epoch + 1} of {_EPOCHS}, loss {loss.item():.3f} on {device}", flush=True)
    save_file({key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}, out)
    return out


def _tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """Normalise as ImageNet's networks do, at their side."""
    x = torch.from_numpy(images).float()[:, None] / 255
    x = nn.functional.interpolate(x, size=(_LOCAL_SIDE, _LOCAL_SIDE), mode="bilinear").expand(-1, 3, -1, -1)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    x = (x - mean) / torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    return x.contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    sys.exit(main())
