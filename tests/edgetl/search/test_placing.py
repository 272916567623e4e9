"""Trials on a real Ray cluster of this machine: whoever is killed, nothing that was done is lost."""

import json
import os
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from edgetl_factories import Diary, colour_folder
from search_factories import command, complete, tiny_asked, trials
from started import Cluster, start, wait_for

from edgetl.dataset import Dataset, load_dataset
from edgetl.search.asked import Asked
from edgetl.search.searching import search

TRIALS = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(colour_folder(tmp_path_factory.mktemp("colours"), strength=30))


@pytest.fixture(scope="module")
def tiny(dataset: Dataset, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(shared_cache))
        return replace(tiny_asked(dataset, tmp_path_factory.mktemp("tiny")), trials=TRIALS)


@pytest.fixture
def asked(tiny: Asked, tmp_path: Path) -> Asked:
    return replace(tiny, storage=f"sqlite:///{tmp_path / 'shared.db'}")


def test_a_study_that_has_enough_needs_no_cluster(
    dataset: Dataset, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placing = pytest.importorskip("edgetl.search.placing", reason="Ray is not installed (extra ray)")
    one = replace(asked, trials=1)
    found = search(dataset, one, tmp_path / "study")
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("a cluster was made"))
    again = search(dataset, one, tmp_path / "study", Diary(), place=placing.on_ray("local", None))
    assert again.trials == found.trials


@pytest.mark.slow
def test_a_killed_worker_costs_no_trial(
    dataset: Dataset, asked: Asked, tmp_path: Path, cluster: Cluster
) -> None:
    """One of two workers dies in its trial; Ray starts another, which takes the trial up first."""
    trials(dataset, asked)
    words = command(dataset, asked, tmp_path / "study", "--ray", cluster.address, "--ray-workers", "2")
    driver = start(words, **cluster.environment)
    victim = wait_for(lambda: _at_work(dataset, asked, of=2), driver)[0]
    os.kill(victim, signal.SIGKILL)
    told, said = driver.communicate(timeout=600)
    assert driver.returncode == 0, said
    found = json.loads(told)["trials"]
    assert Counter(one["state"] for one in found) == {"complete": TRIALS, "lost": 1}
    (lost,) = (one for one in found if one["state"] == "lost")
    assert (lost["reason"], lost["process"]["pid"]) == ("its process died", victim)
    done = [one for one in found if one["state"] == "complete"]
    assert len({(one["backbone"], one["size"]) for one in done}) == TRIALS  # None was done twice.
    assert len({one["process"]["pid"] for one in done} - {victim, driver.pid}) == 2
    assert "Workers on Ray: 2, each with 1 of the cores." in said
    assert all(Path(one["folder"], "run", "run.json").is_file() for one in done)


@pytest.mark.slow
def test_after_a_killed_head_the_search_ends_and_goes_on_elsewhere(
    dataset: Dataset, asked: Asked, tmp_path: Path, cluster: Cluster
) -> None:
    trials(dataset, asked)
    out = tmp_path / "study"
    driver = start(command(dataset, asked, out, "--ray", cluster.address), **cluster.environment)
    wait_for(lambda: complete(trials(dataset, asked)), driver)
    cluster.kill()
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 70, said  # Ray itself would end it with 1.
    assert "has gone. Finished trials are kept" in said
    _goes_on(dataset, asked, out)


@pytest.mark.slow
def test_after_a_killed_driver_the_same_command_goes_on(
    dataset: Dataset, asked: Asked, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra ray)")
    trials(dataset, asked)
    out = tmp_path / "study"
    driver = start(command(dataset, asked, out, "--ray", "local"), HOME=str(tmp_path))
    wait_for(lambda: complete(trials(dataset, asked)), driver)
    driver.kill()
    driver.communicate()
    _goes_on(dataset, asked, out)


def _at_work(dataset: Dataset, asked: Asked, of: int) -> list[int]:
    """Return the processes of the trials that run, once there are so many, as the trials themselves say."""
    running = [one for one in trials(dataset, asked) if one.state == "running" and "process" in one.facts]
    return [one.facts["process"]["pid"] for one in running] if len(running) == of else []


def _goes_on(dataset: Dataset, asked: Asked, out: Path) -> None:
    """Finish the study in one process; whatever was complete before is still as it was."""
    deadline = time.monotonic() + 60
    while any(_lives(pid) for pid in _pids(dataset, asked)) and time.monotonic() < deadline:
        time.sleep(0.2)
    before = complete(trials(dataset, asked))
    found = search(dataset, asked, out)
    done = complete(found.trials)
    assert before == done[: len(before)] != []
    assert Counter((one.configuration.backbone, one.configuration.size) for one in done) == {
        (backbone, size): 1 for backbone in asked.space.backbones for size in asked.space.sizes
    }


def _pids(dataset: Dataset, asked: Asked) -> list[int]:
    return [one.facts["process"]["pid"] for one in trials(dataset, asked) if "process" in one.facts]


def _lives(pid: int) -> bool:
    """Tell whether a process of these tests is there; a worker of Ray ends by itself without its driver."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
