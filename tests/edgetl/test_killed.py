"""A training that is killed without warning, at any moment, goes on to the very same bits.

The processes are forked from a server that has loaded everything, so that each costs no import of torch.
"""

import multiprocessing
import os
import random
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from edgetl_factories import TINY_RECIPE, colour_folder

from edgetl.checkpoint import checkpoint_folder
from edgetl.dataset import load_dataset
from edgetl.run import MODEL, read_run
from edgetl.training import train

KILLS = 10
PRELOADED = [
    "edgetl.training",
    "timm",
    "openvino",
    "torchvision",
    "matplotlib.figure",
    "torch.utils.tensorboard",
]
RECIPE = replace(TINY_RECIPE, epochs=30, learning_rate="auto", patience=0, dropout=0.2)


def work(pictures: Path, out: Path, cache: Path, seconds: float) -> None:
    """Train, and die after so many seconds as if the power were cut."""
    os.environ["EDGETL_CACHE"] = str(cache)
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    train(load_dataset(pictures), RECIPE, out)
    os._exit(0)  # The timer is not waited for.


@pytest.mark.slow
def test_a_training_killed_at_ten_random_points_leaves_the_same_weights(tmp_path: Path) -> None:
    """Ten kills over as many trainings as it takes; each is compared with one that was left alone."""
    pictures = colour_folder(tmp_path / "pictures", strength=30)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)

    def run(out: Path, seconds: float) -> tuple[int | None, float]:
        begun = time.monotonic()
        process = server.Process(target=work, args=(pictures, out, tmp_path / "cache", seconds))
        process.start()
        process.join()
        return process.exitcode, time.monotonic() - begun

    assert run(tmp_path / "whole", 1e4)[0] == 0
    assert run(tmp_path / "again", 1e4)[0] == 0  # With a warm cache, as all that follow.
    code, whole_seconds = run(tmp_path / "timed", 1e4)
    expected = (tmp_path / "whole" / MODEL).read_bytes()
    assert code == 0
    assert any(step["kept"] for step in read_run(tmp_path / "whole").steps[1:])
    draw, kills, trainings, resumed = random.Random(0), 0, 0, 0
    while kills < KILLS:
        out = tmp_path / f"killed-{trainings}"
        code, _ = run(out, draw.uniform(0.1, 0.9) * whole_seconds)
        if code == -signal.SIGKILL:
            kills += 1
            resumed += any(checkpoint_folder(out).rglob("step-*.safetensors"))
            continue
        assert code == 0
        trainings += 1
        assert (out / MODEL).read_bytes() == expected
    assert run(tmp_path / f"killed-{trainings}", 1e4)[0] == 0
    assert (tmp_path / f"killed-{trainings}" / MODEL).read_bytes() == expected
    assert resumed >= KILLS // 3
    assert not any(tmp_path.glob(".*.training"))


def test_another_seed_leaves_other_weights_so_that_the_comparison_means_something(tmp_path: Path) -> None:
    dataset = load_dataset(colour_folder(tmp_path / "pictures", 8, strength=30))
    short = replace(RECIPE, epochs=2, unfreeze=(2,), learning_rate=0.003)
    train(dataset, short, tmp_path / "one")
    train(dataset, replace(short, seed=1), tmp_path / "other")
    assert (tmp_path / "one" / MODEL).read_bytes() != (tmp_path / "other" / MODEL).read_bytes()
