"""Two workers on Ray beside one, on this machine: `python -m benchmarks.search [--rounds N] [--trials N]`.

Each round does the same search with one worker that has all cores, and with as many workers as there are
cores (two at least) that share them; which comes first changes from round to round. The network is
EfficientNet-Lite0 with its ImageNet weights, the pictures are noise: nothing here is about accuracy. Caches
of features are empty at first; costs are known, so that no search measures while the other does not.

Trials an hour count from the first trial's beginning to the last one's end, which is what a search of hours
is like; the seconds of the whole command, with Ray's start, stand beside them. Which trials are tuned depends
on which have ended before, see docs/search.md: how many stands beside the trials an hour.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from PIL import Image

from benchmarks import measured, page
from benchmarks.targets import Row
from edgetl.advise.backbones import open_candidate
from edgetl.cost import measure_cost
from edgetl_runtime.environment import read_cores

_BACKBONE, _SIZES = "efficientnet_lite0", tuple(range(48, 136, 2))
_PICTURES, _SIDE = 60, 128  # Of each of three classes.
_RECIPE = "epochs = 1\nbatch_size = 16\nlearning_rate = 0.001\n"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the pictures and the known costs lie, and how many trials a search has."""

    folder: Path
    trials: int

    def search(self, name: str, *flags: str) -> dict[str, float]:
        """Search in a process of its own, and return how it went."""
        cache, out = self.folder / name / "cache", self.folder / name / "study"
        shutil.copytree(self.folder / "known" / "costs", cache / "costs")
        words = [sys.executable, "-m", "edgetl", "search", str(self.folder / "pictures"), "--out", str(out)]
        words += ["--candidates", _BACKBONE, "--sizes", ",".join(map(str, _SIZES))]
        words += ["--recipes", "full", "--precisions", "float", "--trials", str(self.trials)]
        words += ["--recipe", str(self.folder / "recipe.toml"), *flags]
        begun = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True, env=os.environ | {"EDGETL_CACHE": str(cache)})
        return _figures(out) | {"command_s": round(time.perf_counter() - begun, 1)}


def measure(rounds: int, trials: int) -> dict[str, Any]:
    """Search with one worker and with several in turn; return medians of the rounds and their ratio."""
    several = max(2, read_cores())
    found: dict[str, list[dict[str, float]]] = {"1": [], str(several): []}
    with TemporaryDirectory(prefix="edgetl-search-") as name:
        bench = Bench(_prepared(Path(name)), trials)
        for number in range(rounds):
            for workers in sorted(found, reverse=bool(number % 2)):
                flags = ("--ray", "local", "--ray-workers", workers)
                found[workers].append(bench.search(f"{number}-{workers}", *flags))
    one, more = found["1"], found[str(several)]
    ratios = [b["trials_per_hour"] / a["trials_per_hour"] for a, b in zip(one, more, strict=True)]
    row = Row(f"times the trials per hour, {several} workers", round(median(ratios), 2), 1.6, at_least=True)
    workers = {f"workers: {name}": _medians(rows) for name, rows in found.items()}
    return workers | {"ratios of rounds": ", ".join(f"{one:.2f}" for one in ratios), "targets": [row.facts()]}


def main() -> int:
    """Measure, keep it, and write docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=len(_SIZES))
    given = parser.parse_args()
    figures = measure(given.rounds, given.trials)
    found = measured.write("search", "A search on Ray", "python -m benchmarks.search", figures)
    print(json.dumps(found.figures, indent=2))
    return page.main()


def _prepared(folder: Path) -> Path:
    """Write pictures and recipe, and measure the costs once."""
    rng = np.random.default_rng(0)
    for number in range(3 * _PICTURES):
        place = folder / "pictures" / "abc"[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 160, (_SIDE, _SIDE, 3), dtype=np.uint8)
        pixels[..., number % 3] += rng.integers(0, 90, dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    (folder / "recipe.toml").write_text(_RECIPE, encoding="utf-8")
    os.environ["EDGETL_CACHE"] = str(folder / "known")
    for size in _SIZES:
        measure_cost(open_candidate(_BACKBONE).with_input(size, None), 3)
    return folder


def _figures(out: Path) -> dict[str, float]:
    """Read from a study how fast its trials came, and what they took of the processors."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{out / 'study.db'}"
    (summary,) = optuna.get_all_study_summaries(url)
    done = [
        one
        for one in optuna.load_study(study_name=summary.study_name, storage=url).trials
        if one.state == optuna.trial.TrialState.COMPLETE
    ]
    begun = min(one.datetime_start for one in done if one.datetime_start)
    ended = max(one.datetime_complete for one in done if one.datetime_complete)
    seconds = (ended - begun).total_seconds()
    return {
        "trials": len(done),
        "tuned": sum(bool(one.user_attrs["tuned"]) for one in done),
        "seconds": round(seconds, 1),
        "trials_per_hour": round(3600 * len(done) / seconds, 1),
        "processor_s": round(sum(one.user_attrs["took"]["processor_s"] for one in done), 1),
    }


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(row[name] for row in rows) for name in rows[0]}


if __name__ == "__main__":
    sys.exit(main())
