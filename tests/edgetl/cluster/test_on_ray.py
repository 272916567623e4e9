"""Validation and features on a real Ray cluster of this machine, whoever of it is killed."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from edgetl_factories import colour_folder, rows_kept
from started import Cluster, start, wait_for
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl_runtime.cli import main
from edgetl_runtime.receipt import Receipt

PICTURES = 1500


@pytest.fixture
def question(tmp_path: Path) -> list[str]:
    """A validation of many pictures, but for where it is done and what it writes."""
    for number in range(PICTURES):
        write_colour(tmp_path / "data" / CLASSES[number % 3] / f"{number}.png", CLASSES[number % 3], number)
    words = ["validate", str(tiny_bundle(tmp_path / "bundle")), str(tmp_path / "data")]
    return [*words, "--variant", "onnx-fp32", "--threads", "1", "--out"]


def program(*words: str) -> list[str]:
    return [sys.executable, "-m", "edgetl", *words]


def assert_same(found: Path, alone: Path) -> None:
    ours, expected = Receipt.read(found), Receipt.read(alone)
    assert ours.predictions.to_json() == expected.predictions.to_json()
    assert (ours.figures, ours.dataset) == (expected.figures, expected.dataset)


@pytest.mark.slow
def test_a_killed_worker_s_pictures_are_answered_by_another(
    question: list[str], tmp_path: Path, cluster: Cluster
) -> None:
    alone, found = tmp_path / "alone.json", tmp_path / "found.json"
    assert main([*question, str(alone)]) == 0
    words = program(*question, str(found), "--ray", cluster.address, "--ray-workers", "2")
    driver = start(words, **cluster.environment)
    os.kill(wait_for(lambda: cluster.at_work("answer_piece"), driver)[0], signal.SIGKILL)
    _, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    assert "Workers on Ray: 2, each with 1 of the cores." in said
    assert_same(found, alone)


@pytest.mark.slow
def test_after_a_killed_head_a_validation_ends_and_goes_on_without_it(
    question: list[str], tmp_path: Path, cluster: Cluster
) -> None:
    alone, found = tmp_path / "alone.json", tmp_path / "found.json"
    words = program(*question, str(found), "--ray", cluster.address)
    driver = start(words, **cluster.environment)
    wait_for(lambda: cluster.at_work("answer_piece"), driver)
    cluster.kill()
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 70, said
    assert "has gone. With --out, answers so far are kept: once a cluster runs, the same" in said
    assert not found.exists()
    assert main([*question, str(alone)]) == 0
    assert main([*question, str(found), "--resume"]) == 0
    assert_same(found, alone)


DEADLY = """
import os
from edgetl.cluster.on_ray import RayWorkers

def die(given, piece):
    os._exit(1)

with RayWorkers({address!r}, 1, "Start again.", print).hired(1) as crew:
    list(crew.each(die, None, [1]))
"""


@pytest.mark.slow
def test_a_piece_that_kills_every_worker_is_given_up(cluster: Cluster) -> None:
    words = [sys.executable, "-c", DEADLY.format(address=cluster.address)]
    driver = start(words, **cluster.environment)
    _, said = driver.communicate(timeout=300)
    assert "LostWorkers: The worker died unexpectedly" in said
    assert said.rstrip().endswith("Start again.")


@pytest.mark.slow
def test_a_killed_worker_s_features_are_computed_by_another(tmp_path: Path, cluster: Cluster) -> None:
    data, cache = colour_folder(tmp_path / "data", PICTURES // 3), tmp_path / "cache"
    words = ["train", str(data), "--out", str(tmp_path / "run"), "--backbone", "timm/test_efficientnet"]
    words += ["--weights", "none", "--unfreeze", "0", "--size", "32", "--views", "none", "--json"]
    words += ["--ray", cluster.address, "--ray-workers", "2"]
    driver = start(program(*words), **cluster.environment, EDGETL_CACHE=str(cache))
    os.kill(wait_for(lambda: cluster.at_work("fill_part"), driver)[0], signal.SIGKILL)
    told, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    assert "Workers on Ray: 2, each with 1 of the cores." in said
    counts = json.loads(told)["dataset"]["counts"]
    assert counts["train"] >= 1000
    assert {counts["train"], counts["val"]} <= rows_kept(cache)
