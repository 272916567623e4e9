"""Ours beside fastai's `fine_tune` and torchvision's tutorial: accuracy on test, and the time to it.

    python -m benchmarks.train [--sets NAME …] [--seeds 0 1 2] [--methods …]

A cell is one method on one set with one seed, in a process of its own, with all cores. Its result is a file
in benchmarks/results/train; what is there is not run again, so that a long comparison can go on another day.
All start from the same weights of EfficientNet-Lite0. Nothing is chosen on the test pictures: they are
predicted once by the finished model; for the peers also after every epoch, off the clock.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from benchmarks.machine import facts
from benchmarks.sets import make_set

_HERE = Path(__file__).parent
_RESULTS = _HERE / "results" / "train"
_DATA = _HERE / "results" / "sets"
_PEER_PYTHON = Path(".venv-peers/train/bin/python").absolute()
METHODS = ("ours-head", "ours", "fastai", "torchvision")
SETS = ("solar-cells", "fashion-1000", "pictograms")
_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What all methods share on a set. size: of the network's input; flips: upside down means the same."""

    size: int
    flips: bool
    peer_epochs: dict[str, int]


# The peers' epochs are those of their own pages where that takes minutes here, fewer where it takes hours.
_SETTINGS = {
    "solar-cells": Setting(224, True, {"fastai": 4, "torchvision": 4}),
    "fashion-1000": Setting(96, False, {"fastai": 6, "torchvision": 10}),
    "fashion-10000": Setting(96, False, {"fastai": 4, "torchvision": 4}),
    "pictograms": Setting(96, False, {"fastai": 6, "torchvision": 10}),
}


def main() -> int:
    """Run what is missing, then print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=tuple(_SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    given = parser.parse_args()
    for name in given.sets:
        for seed in given.seeds:
            for method in given.methods:
                _cell(name, seed, method)
    print(json.dumps(summarise(given.sets, given.seeds), indent=2))
    return 0


def _cell(name: str, seed: int, method: str) -> None:
    out = _RESULTS / f"{name}.{seed}.{method}.json"
    if out.exists():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    # Solar cells are split anew by the seed; the other sets stay as they are.
    csv = make_set(f"{name}-{seed}" if name == "solar-cells" else name, _DATA)
    print(f"{name}, seed {seed}, {method} …", flush=True)
    begun = perf_counter()
    result = (_ours if method.startswith("ours") else _peer)(csv, name, seed, method)
    result |= {"set": name, "seed": seed, "method": method, "machine": facts()}
    result["process_seconds"] = round(perf_counter() - begun, 1)
    out.write_text(json.dumps(result), encoding="utf-8")


def _ours(csv: Path, name: str, seed: int, method: str) -> dict[str, Any]:
    """Train in a fresh process with an empty feature cache: decoding and extraction are on the clock."""
    setting, place = _SETTINGS[name], _RESULTS / "work" / f"{name}.{seed}.{method}"
    flags = ["--views", "flips" if setting.flips else "hflip", "--size", str(setting.size), "--crop", "1"]
    if method == "ours-head":
        flags += ["--unfreeze", "0"]
    command = [sys.executable, "-m", "edgetl", "train", str(csv), "--out", str(place), "--seed", str(seed)]
    subprocess.run(["rm", "-rf", str(place), f"{place}.cache"], check=True)
    begun = perf_counter()
    environment = os.environ | {"EDGETL_CACHE": f"{place}.cache"}
    subprocess.run([*command, *flags], check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds = perf_counter() - begun
    from edgetl.run import read_run
    from edgetl_runtime.pictures import index

    paths = [str(one.path) for one in index(csv).pictures if one.split == "test"]
    probabilities = _predict(place, paths)
    subprocess.run(["rm", "-rf", f"{place}.cache"], check=True)
    return {
        "classes": list(read_run(place).classes),
        "curve": [{"seconds": round(seconds, 1), "accuracy": None}],
        "paths": paths,
        "probabilities": probabilities.tolist(),
    }


def _predict(run_folder: Path, paths: Sequence[str]) -> NDArray[np.float32]:
    """Let the trained module answer, pictures preprocessed as the device does."""
    import torch

    from edgetl.run import read_module, read_run

    run, module = read_run(run_folder), read_module(run_folder)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (run.mean, run.std))
    parts = []
    with torch.no_grad():
        for start in range(0, len(paths), 64):
            pixels = np.stack([run.preprocess(Path(path)) for path in paths[start : start + 64]])
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            parts.append(torch.softmax(module((images - mean) / std), 1).numpy())
    return np.concatenate(parts)


def _peer(csv: Path, name: str, seed: int, method: str) -> dict[str, Any]:
    if not _PEER_PYTHON.exists():
        raise SystemExit("error: the peers have no environment yet. Run: benchmarks/peers/make.sh train")
    setting, out = _SETTINGS[name], _RESULTS / "work" / f"{name}.{seed}.{method}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    arguments = {"csv": csv, "weights": _weights(), "out": out, "size": setting.size, "seed": seed}
    arguments |= {"epochs": setting.peer_epochs[method], "threads": os.cpu_count()}
    flags = [text for key, value in arguments.items() for text in (f"--{key}", str(value))]
    script = str(_HERE / "peers" / "train_peer.py")
    subprocess.run(
        [_PEER_PYTHON, script, method, *flags, *(["--flips"] if setting.flips else [])], check=True
    )
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


def _weights() -> Path:
    """Write the shared weights under timm's names."""
    import torch

    from edgetl.backbones.lite import imagenet_state

    path = _DATA / "lite0.pt"
    if not path.exists():
        torch.save(imagenet_state("efficientnet_lite0"), path)
    return path


def summarise(sets: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Return for each set the figures of each method, and ours against the best peer, paired by picture."""
    table: dict[str, Any] = {}
    for name in sets:
        cells = {method: [_load(name, seed, method) for seed in seeds] for method in METHODS}
        done = {method: [one for one in found if one] for method, found in cells.items()}
        table[name] = {method: _figures(found) for method, found in done.items() if found}
        peers = [method for method in ("fastai", "torchvision") if len(done[method]) == len(seeds)]
        if peers and len(done["ours"]) == len(seeds):
            best = max(peers, key=lambda method: table[name][method]["accuracy"])
            table[name][f"ours minus {best}, accuracy, 95 %"] = _paired(done["ours"], done[best])
    return table


def _load(name: str, seed: int, method: str) -> dict[str, Any] | None:
    path = _RESULTS / f"{name}.{seed}.{method}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _answers(cell: dict[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return targets and probabilities in the order of the paths."""
    order = np.argsort(cell["paths"])
    csv = make_set(f"{cell['set']}-{cell['seed']}" if cell["set"] == "solar-cells" else cell["set"], _DATA)
    from edgetl_runtime.pictures import index

    label = {str(one.path): one.labels[0] for one in index(csv).pictures}
    targets = np.array([cell["classes"].index(label[cell["paths"][place]]) for place in order])
    return targets, np.array(cell["probabilities"])[order]


def _figures(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds."""
    rows = []
    for cell in cells:
        targets, shares = _answers(cell)
        row = {"accuracy": float((shares.argmax(1) == targets).mean())}
        row["balanced_accuracy"] = float(balanced_accuracy_score(targets, shares.argmax(1)))
        if shares.shape[1] == 2:
            row["auc"] = float(roc_auc_score(targets == 0, shares[:, 0]))
        row["seconds"] = cell["curve"][-1]["seconds"]
        rows.append(row)
    return {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]} | {
        "seeds": len(rows)
    }


def _paired(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> list[float]:
    """Return the mean difference of accuracy and its bootstrap interval over pictures, seeds together."""
    differences = []
    for one, other in zip(ours, theirs, strict=True):
        (targets, a), (_, b) = _answers(one), _answers(other)
        differences.append((a.argmax(1) == targets).astype(float) - (b.argmax(1) == targets))
    pooled, generator = np.concatenate(differences), np.random.default_rng(0)
    draws = [generator.choice(pooled, len(pooled)).mean() for _ in range(_RESAMPLES)]
    return [round(float(value), 4) for value in (pooled.mean(), *np.quantile(draws, [0.025, 0.975]))]


if __name__ == "__main__":
    sys.exit(main())
