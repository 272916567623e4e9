"""A real small study of two small networks: what it leaves, what it refuses, and how it goes on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from edgetl_factories import Diary, colour_folder
from search_factories import RECIPE, tiny_asked
from started import ROOT

from edgetl.backbones import create_backbone
from edgetl.cost import Limits
from edgetl.dataset import Dataset, load_dataset
from edgetl.run import read_backbone, read_run
from edgetl.search import pricing
from edgetl.search.asked import Asked
from edgetl.search.searching import search
from edgetl_runtime.errors import InputError


class Stopping(Diary):
    """Interrupts at a note."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    def note(self, message: str) -> None:
        super().note(message)
        if message.startswith(self._at):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(colour_folder(tmp_path_factory.mktemp("colours"), strength=30))


@pytest.fixture(scope="module")
def asked(dataset: Dataset, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Ask for two small networks whose weights are here, at two sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(shared_cache))
        return tiny_asked(dataset, tmp_path_factory.mktemp("tiny"))


def test_a_study_leaves_runs_and_a_front_and_goes_on_where_it_ended(
    dataset: Dataset, asked: Asked, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    found = search(dataset, asked, out)
    assert [one.state for one in found.trials] == ["complete"] * 3
    assert {one.configuration.backbone for one in found.trials[:2]} == set(asked.space.backbones)
    for row in found.rows:
        run = read_run(row.run)
        assert row.run == out / f"trial-{row.trial}" / "run"
        assert run.preprocess.size == row.configuration.size
        assert row.chosen["value"] == [step for step in run.steps if step["kept"]][-1]["accuracy"]
        assert row.chosen["n"] + row.verified["n"] == len(dataset.val)  # And none of test.
    told = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert told["front"] == [one for one in told["models"] if one["on_front"]] != []
    assert (out / "pareto.svg").read_text(encoding="utf-8").startswith("<?xml")
    again = search(dataset, asked, out, diary := Diary())
    assert (again.trials, diary.phases) == (found.trials, [])
    more = search(dataset, replace(asked, trials=9), out)
    assert (more.trials[:3], len(more.trials)) == (found.trials, 4)
    assert more.note == "all combinations are tried"
    with pytest.raises(InputError, match=r"has a study with other limits, seed\. Give the same ones"):
        search(dataset, replace(asked, seed=1, limits=Limits(1.0)), out)


def test_after_an_interruption_the_same_call_goes_on(dataset: Dataset, asked: Asked, tmp_path: Path) -> None:
    out = tmp_path / "study"
    first = search(dataset, asked, out, Stopping("Trial 1 "))
    assert first.interrupted
    assert [one.state for one in first.trials] == ["complete", "lost"]
    second = search(dataset, asked, out, diary := Diary())
    assert [one.state for one in second.trials] == ["complete", "lost", "complete", "complete"]
    assert second.trials[2].configuration == first.trials[1].configuration
    assert second.trials[0] == first.trials[0]
    assert "Trial 2 goes on where trial 1 was." in diary.notes
    assert not (out / "trial-1").exists()


def test_what_is_beyond_a_limit_is_not_trained(dataset: Dataset, asked: Asked, tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(
        InputError, match=r"^No trial led to a model \(all combinations are tried\): .* MB, more"
    ):
        search(dataset, replace(asked, limits=Limits(size_mb=0.001)), tmp_path / "study", diary)
    assert "head" not in diary.phases


def test_a_backbone_that_cannot_be_had_is_named_and_the_others_go_on(
    dataset: Dataset, asked: Asked, tmp_path: Path
) -> None:
    space = replace(asked.space, backbones=("no_such_network", asked.space.backbones[0]), sizes=(32,))
    found = search(dataset, replace(asked, space=space), tmp_path / "study")
    assert [one.state for one in found.trials] == ["failed", "complete"]
    assert found.trials[0].facts["reason"].startswith("No backbone is called 'no_such_network'")
    assert len(found.rows) == 1


def test_a_size_that_a_backbone_cannot_take_is_named_and_the_others_go_on(
    dataset: Dataset, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict, here = "timm/vit_tiny_patch16_224", asked.space.backbones[0]
    opened = {strict: create_backbone(strict, weights="none"), here: read_backbone(Path(here))}
    monkeypatch.setattr(pricing, "open_candidate", opened.__getitem__)
    space = replace(asked.space, backbones=(strict, here), sizes=(32,))
    found = search(dataset, replace(asked, space=space), tmp_path / "study")
    assert [one.state for one in found.trials] == ["failed", "complete"]
    assert found.trials[0].facts["reason"].startswith(f"The backbone '{strict}' cannot take pictures of 32 ×")
    assert found.note == "all combinations are tried"


def test_a_folder_that_is_no_study_is_left_alone(dataset: Dataset, asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match=r"exists and is no study\. Choose another --out"):
        search(dataset, asked, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["letter.txt"]


def test_what_another_database_has_left_is_not_taken_for_a_trial(
    dataset: Dataset, asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "study" / ".workers").mkdir(parents=True)
    (tmp_path / "study" / "trial-0").mkdir()
    with pytest.raises(
        InputError, match=r"No trial led to a model .* belongs to a study whose database is gone"
    ):
        space = replace(asked.space, backbones=asked.space.backbones[:1], sizes=(32,))
        search(dataset, replace(asked, space=space), tmp_path / "study")
    with pytest.raises(InputError, match="has a study with other backbones, sizes, storage"):
        search(dataset, replace(asked, storage="sqlite:///other.db"), tmp_path / "study")


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on(dataset: Dataset, asked: Asked, tmp_path: Path) -> None:
    """The process dies in its second trial; the first one stays, the second one is tried again."""
    out, recipe = tmp_path / "study", tmp_path / "recipe.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    words = ["search", str(dataset.root), "--out", str(out), "--candidates", ",".join(asked.space.backbones)]
    words += ["--sizes", "32,40", "--recipes", "full", "--trials", "3", "--precisions", "float"]
    command = [sys.executable, "-m", "edgetl", *words, "--recipe", str(recipe), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    deadline = time.monotonic() + 300
    while _begun(out) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    trials = json.loads(done.stdout)["trials"]
    assert [one["state"] for one in trials] == ["complete", "lost", "complete", "complete"]
    assert trials[1]["reason"] == "its process died"
    named = ("backbone", "size", "recipe")
    assert [trials[1][name] for name in named] == [trials[2][name] for name in named]
    assert all((out / f"trial-{number}" / "run" / "run.json").is_file() for number in (0, 2, 3))


def _begun(out: Path) -> int:
    """Count the trials in the database, without Optuna."""
    path = out / "study.db"
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return int(connection.execute("select count(*) from trials").fetchone()[0])
    except sqlite3.OperationalError:  # The table is being made.
        return 0
    finally:
        connection.close()
