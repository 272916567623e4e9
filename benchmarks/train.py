"""Ours beside fastai's `fine_tune` and torchvision's tutorial: accuracy on test, and the time to it.

    python -m benchmarks.train [--sets NAME …] [--seeds 0 1 2] [--methods …] [--only-table]

A cell is one method on one set with one seed, in a process of its own, with all cores. Its result is a file
in benchmarks/cells; what is there is not run again, so that a long comparison can go on another day. All
start from the same weights of EfficientNet-Lite0. The clock goes from the start of the process to the trained
model, over the same training and validation pictures for all. The test pictures are predicted once, off the
clock; ours, which insists on a test split, is given one of each class.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from csv import DictReader, DictWriter
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from benchmarks import page
from benchmarks.answers import answers_of
from benchmarks.cells import Answers, Cell, cell_file
from benchmarks.sets import make_set
from benchmarks.train_settings import METHODS, SETTINGS
from edgetl_runtime.pictures import index

_HERE = Path(__file__).parent
_WORK = _HERE / "results" / "train"
_DATA = _HERE / "results" / "sets"
_PEER_PYTHON = Path(".venv-peers/train/bin/python").absolute()


def main() -> int:
    """Run what is missing, then write the page of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=tuple(SETTINGS), choices=tuple(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--only-table", action="store_true", help="run nothing")
    given = parser.parse_args()
    for name in given.sets if not given.only_table else ():
        # A seed of all sets and methods before the next, so that what is done compares.
        for seed in (seed for seed in SETTINGS[name].seeds if seed in given.seeds):
            for method in given.methods:
                _cell(name, seed, method)
    return page.main()


def _cell(name: str, seed: int, method: str) -> None:
    if cell_file(name, seed, method).exists():
        return
    # Solar cells are split anew by the seed; the other sets stay as they are.
    csv = make_set(f"{name}-{seed}" if name == "solar-cells" else name, _DATA)
    print(f"{name}, seed {seed}, {method} …", flush=True)
    run = _ours if method.startswith("ours") else _peer
    run(csv, name, seed, method).write()


def _ours(csv: Path, name: str, seed: int, method: str) -> Cell:
    """Train in a fresh process with an empty feature cache: decoding and extraction are on the clock."""
    setting, place = SETTINGS[name], _WORK / f"{name}.{seed}.{method}"
    flags = ["--views", "flips" if setting.flips else "hflip", "--size", str(setting.size), "--crop", "1"]
    if method == "ours-head":
        flags += ["--unfreeze", "0"]
    seen = _without_test(csv, place.with_suffix(".csv"))
    command = [sys.executable, "-m", "edgetl", "train", str(seen), "--out", str(place), "--seed", str(seed)]
    for old in (place, place.with_suffix(".cache")):
        shutil.rmtree(old, ignore_errors=True)
    environment = os.environ | {"EDGETL_CACHE": str(place.with_suffix(".cache"))}
    begun, cpu = perf_counter(), _children_cpu()
    subprocess.run([*command, *flags], check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds, cpu = perf_counter() - begun, _children_cpu() - cpu
    shutil.rmtree(place.with_suffix(".cache"))
    pictures = [one for one in index(csv).pictures if one.split == "test"]
    return answers_of(place, pictures).cell(name, seed, method, seconds=seconds, cpu_seconds=cpu)


def _without_test(csv: Path, out: Path) -> Path:
    """Write the rows of training and validation, and one test picture of each class."""
    with csv.open(encoding="utf-8", newline="") as file:
        rows = list(DictReader(file))
    first = {row["label"]: row["path"] for row in reversed(rows) if row["split"] == "test"}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if row["split"] != "test" or row["path"] in first.values())
    return out


def _peer(csv: Path, name: str, seed: int, method: str) -> Cell:
    if not _PEER_PYTHON.exists():
        raise SystemExit("error: the peers have no environment yet. Run: benchmarks/peers/make.sh train")
    setting, out = SETTINGS[name], _WORK / f"{name}.{seed}.{method}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    arguments = {"csv": csv, "weights": _weights(), "out": out, "size": setting.size, "seed": seed}
    arguments |= {"epochs": setting.peer_epochs[method], "threads": os.cpu_count()}
    flags = [text for key, value in arguments.items() for text in (f"--{key}", str(value))]
    flags += ["--begun", str(monotonic())]
    script = str(_HERE / "peers" / "train_peer.py")
    subprocess.run(
        [_PEER_PYTHON, script, method, *flags, *(["--flips"] if setting.flips else [])], check=True
    )
    told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    answers = Answers(told["paths"], told["targets"], np.array(told["probabilities"]))
    return answers.cell(name, seed, method, **told["took"])


def _children_cpu() -> float:
    """Return the seconds that processes of ours have used on all cores together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _weights() -> Path:
    """Write the shared weights under timm's names."""
    import torch

    from edgetl.backbones.lite import imagenet_state

    path = _DATA / "lite0.pt"
    if not path.exists():
        torch.save(imagenet_state("efficientnet_lite0"), path)
    return path


if __name__ == "__main__":
    sys.exit(main())
