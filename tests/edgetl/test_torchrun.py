"""`torchrun -m edgetl train` on this machine's processors: two real processes that talk by gloo.

A witness that Python loads at its start writes down which rank opened which file for writing.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from edgetl_factories import colour_folder
from safetensors.numpy import load_file

from edgetl.run import MODEL, read_run

ROOT = Path(__file__).parents[2]
SETTINGS = [
    *("--backbone", "timm/test_efficientnet", "--weights", "none", "--size", "32", "--precision", "f32"),
    *("--unfreeze", "2,4", "--epochs", "12", "--batch-size", "9", "--learning-rate", "0.0005"),
    *("--views", "none", "--dropout", "0.2", "--mixup", "0.2", "--ema", "0.5"),
]
ENDLESS = [*SETTINGS, "--epochs", "1000", "--patience", "0", "--time-budget", "100000"]
WITNESS = """
import os, sys

def see(event, given):
    if event == "open" and isinstance(given[0], str) and (given[2] or 0) & os.O_ACCMODE:
        line = f"{os.environ.get('RANK')} {os.path.abspath(given[0])}\\n".encode()
        os.write(witnessed, line)

witnessed = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
sys.addaudithook(see)
"""
# An import of everything takes minutes on a machine that is busy.
PATIENCE_S = 600


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_folder(tmp_path_factory.mktemp("pictures"), strength=30)


def environment(home: Path) -> dict[str, str]:
    (home / "witness").mkdir(exist_ok=True)
    (home / "witness" / "sitecustomize.py").write_text(WITNESS, encoding="utf-8")
    ours = [str(path) for path in (home / "witness", ROOT, ROOT / "exporters", ROOT / "runtime")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(ours),
        "WITNESS": str(home / "opened.txt"),
        "EDGETL_CACHE": str(home / "cache"),
        "OMP_NUM_THREADS": "1",
    }


def torchrun(home: Path, ranks: int, *arguments: object) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks)]
    return [*launcher, "--master-port", str(free_port()), "-m", "edgetl", "train", *map(str, arguments)]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port: int = one.getsockname()[1]
        return port


def by_hand(home: Path, arguments: Sequence[object]) -> Iterator[subprocess.Popen[str]]:
    """Start two ranks as torchrun does, but leave each to itself, as on two machines."""
    told = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(free_port()),
    }
    for rank in ("0", "1"):
        yield subprocess.Popen(
            [sys.executable, "-m", "edgetl", "train", *map(str, arguments)],
            env=environment(home) | told | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def wait_for_an_epoch(home: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a step has its first checkpoint."""
    begun = time.monotonic()
    while not list(home.glob(".run.training/attempt-1/step-*.safetensors")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < PATIENCE_S
        time.sleep(0.05)


def writers(home: Path) -> dict[str, set[str]]:
    """Return the ranks that opened files for writing below each of the folders of a training."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in (home / "opened.txt").read_text(encoding="utf-8").splitlines():
        rank, _, path = line.partition(" ")
        if Path(path).is_relative_to(home):
            found[Path(path).relative_to(home).parts[0]].add(rank)
    return found


@pytest.mark.slow
def test_two_ranks_leave_the_run_that_one_process_leaves(pictures: Path, tmp_path: Path) -> None:
    told: dict[int, str] = {}
    for ranks in (1, 2):
        home = tmp_path / str(ranks)
        home.mkdir()
        command = torchrun(home, ranks, pictures, "--out", home / "run", *SETTINGS, "--json")
        done = subprocess.run(
            command, env=environment(home), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["name"] == "run"
        told[ranks] = done.stderr
    one, two = read_run(tmp_path / "1/run"), read_run(tmp_path / "2/run")
    assert [step["kept"] for step in two.steps] == [step["kept"] for step in one.steps] == [True] * 3
    assert [len(step["epochs"]) for step in two.steps] == [len(step["epochs"]) for step in one.steps]
    assert {name: figure["n"] for name, figure in two.figures.items()} == dict.fromkeys(two.figures, 7)
    assert two.figures["accuracy"] == one.figures["accuracy"]
    for name, figure in two.figures.items():
        assert figure["value"] == pytest.approx(one.figures[name]["value"], abs=1e-4), name
    weights = [load_file(tmp_path / n / "run" / MODEL) for n in ("1", "2")]
    assert max(float(np.abs(a - weights[1][name]).max()) for name, a in weights[0].items()) < 1e-4

    assert {path.name for path in (tmp_path / "2/run").iterdir()} == {
        path.name for path in (tmp_path / "1/run").iterdir()
    }
    assert "Pictures computed by" not in told[1]
    assert "Pictures computed by rank 0: 24, rank 1: 26." in told[2]
    assert told[2].count("head: kept") == 1
    wrote = writers(tmp_path / "2")
    assert wrote["cache"] == {"0", "1"}
    assert [ranks for name, ranks in wrote.items() if name != "cache"] == [{"0"}] * (len(wrote) - 1)
    assert not list(tmp_path.glob("2/.*"))


@pytest.mark.slow
def test_ctrl_c_at_torchrun_ends_all_ranks_and_leaves_the_best_so_far(pictures: Path, tmp_path: Path) -> None:
    command = torchrun(tmp_path, 2, pictures, "--out", tmp_path / "run", *ENDLESS)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(tmp_path), **pipes) as process:
        wait_for_an_epoch(tmp_path, process)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_S)
    assert "Interrupted: the best so far is kept" in told
    assert "forcefully exiting" not in told
    assert read_run(tmp_path / "run").interrupted
    assert writers(tmp_path)["run"] <= {"0"}


@pytest.mark.slow
def test_ctrl_c_gives_every_rank_the_code_of_an_interruption(pictures: Path, tmp_path: Path) -> None:
    leader, helper = by_hand(tmp_path, [pictures, "--out", tmp_path / "run", *ENDLESS])
    wait_for_an_epoch(tmp_path, leader)
    helper.send_signal(signal.SIGINT)  # It leaves that to the leader.
    time.sleep(0.5)
    assert helper.poll() is None
    leader.send_signal(signal.SIGINT)
    leader.send_signal(signal.SIGINT)
    table, told = leader.communicate(timeout=PATIENCE_S)
    assert "Interrupted: this is the best so far." in table
    assert (leader.returncode, helper.wait(timeout=PATIENCE_S)) == (130, 130), told
    assert helper.communicate() == ("", "")
    assert read_run(tmp_path / "run").interrupted


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_rank_that_dies_ends_the_other_one(killed: int, pictures: Path, tmp_path: Path) -> None:
    ranks = list(by_hand(tmp_path, [pictures, "--out", tmp_path / "run", *ENDLESS]))
    wait_for_an_epoch(tmp_path, ranks[0])
    ranks[killed].kill()
    ranks[killed].communicate(timeout=PATIENCE_S)
    _, told = ranks[1 - killed].communicate(timeout=PATIENCE_S)
    assert ranks[1 - killed].returncode == 70
    assert "error: Another rank has ended without a word (" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_error_is_told_once_and_is_every_rank_s_exit_code(tmp_path: Path) -> None:
    leader, helper = by_hand(tmp_path, [tmp_path / "nothing", "--out", tmp_path / "run"])
    _, told = leader.communicate(timeout=PATIENCE_S)
    assert helper.communicate(timeout=PATIENCE_S) == ("", "")
    assert (leader.returncode, helper.returncode) == (2, 2)
    assert told.count("error: ") == 1
    assert "nothing" in told
