"""What a worker elsewhere makes of its errand: few threads, the sender's paths, and a like machine only."""

import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from edgetl_factories import Diary, colour_folder
from search_factories import SETTINGS

from edgetl.dataset import Dataset, load_dataset
from edgetl.ranks import on_this_machine
from edgetl.search import errand as module
from edgetl.search.asked import Asked
from edgetl.search.errand import Errand, run_errand
from edgetl.search.ground import Ground
from edgetl.search.space import Space
from edgetl_runtime.environment import read_cores
from edgetl_runtime.errors import InputError

ASKED = Asked(Space(("no_such_network",), (32,), ("full",)), ("float",), trials=1, settings=SETTINGS)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(colour_folder(tmp_path / "colours", 8))


@pytest.fixture
def errand(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Errand:
    monkeypatch.chdir(tmp_path)
    ground = Ground(dataset, ASKED, Path("study"), dataset.root, Diary(), time.monotonic() + 60)
    return Errand.of(ground, cores=1)


def test_an_errand_is_done_after_a_journey(
    errand: Errand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("EDGETL_CACHE", "/elsewhere")
    assert run_errand(pickle.loads(pickle.dumps(errand))) == "all combinations are tried"
    assert (Path.cwd(), os.environ["EDGETL_CACHE"]) == (tmp_path, str(errand.stand.cache))
    assert (tmp_path / "study" / "study.db").is_file()


def test_a_worker_keeps_to_its_share_of_the_cores(errand: Errand, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(
        module, "in_this_process", lambda *_: seen.append((torch.get_num_threads(), on_this_machine()))
    )
    before = torch.get_num_threads()
    run_errand(errand)
    assert seen == [(1, read_cores())]
    assert (torch.get_num_threads(), on_this_machine()) == (before, 1)


def test_a_machine_of_another_kind_is_refused(errand: Errand) -> None:
    other = replace(errand, identity=errand.identity | {"machine": ["an abacus", 64, []]})
    with pytest.raises(InputError, match=r"times are of 'an abacus' with 64: they cannot be compared"):
        run_errand(other)


def test_a_machine_without_the_senders_folder_is_refused(errand: Errand) -> None:
    with pytest.raises(InputError, match=r"has no folder '/nowhere/at/all' .* under the same paths on every"):
        run_errand(replace(errand, stand=replace(errand.stand, folder=Path("/nowhere/at/all"))))
