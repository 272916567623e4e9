"""The study in its database: who tries what, also when several processes ask at the same moment."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgetl.search.front import Point
from edgetl.search.space import Configuration, Space
from edgetl.search.study import Study
from edgetl.search.trials import TakenOver, is_surplus, open_configurations
from edgetl.search.worker import at_work, is_dead
from edgetl_runtime.errors import InputError

SPACE = Space(("a", "b"), (None, 64, 96), ("staged", "full"))
FIRST = Configuration("a", None, "staged")
MOST = 100


def opened(folder: Path, **more: int) -> Study:
    return Study(f"sqlite:///{folder / 'study.db'}", "edgetl-test", SPACE, seed=0, **more)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    with closing(opened(tmp_path)) as found:
        yield found


def claim_all(folder: Path, results: "multiprocessing.Queue[list[Configuration]]") -> None:
    """Try all that can be had, each for a moment, and tell what was tried."""
    tried = []
    with closing(opened(folder)) as study:
        while (configuration := study.propose(study.trials())) is not None:
            trial = study.begin(configuration, "w")
            if is_surplus(trial, study.trials(), MOST):
                study.give_up(trial.number, "surplus", "")
                continue
            tried.append(configuration)
            study.complete(trial.number, Point(0.5, 1.0, 1.0))
    results.put(tried)


def die_at_work(folder: Path) -> None:
    with at_work(folder) as token, closing(opened(folder)) as study:
        study.begin(FIRST, token)
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_written_is_read_again(study: Study, tmp_path: Path) -> None:
    trial = study.begin(FIRST, "worker")
    study.record(trial.number, "head", [0.5, 2.0, 3.0])
    study.complete(trial.number, Point(0.75, 2.0, 3.0))
    study.give_up(study.begin(Configuration("b", 64, "full"), "other").number, "refused", "too slow")
    with closing(opened(tmp_path)) as again:
        done, refused = again.trials()
    assert (done.configuration, done.state, done.point) == (FIRST, "complete", Point(0.75, 2.0, 3.0))
    assert (done.head, done.worker, done.number) == (Point(0.5, 2.0, 3.0), "worker", 0)
    assert (refused.state, refused.facts["reason"], refused.point) == ("refused", "too slow", None)


def test_each_backbone_is_tried_once_before_any_is_tried_twice(study: Study) -> None:
    first = study.propose(study.trials())
    study.complete(study.begin(first, "w").number, Point(0.5, 1.0, 1.0))
    assert {first.backbone, study.propose(study.trials()).backbone} == {"a", "b"}


def test_all_combinations_are_tried_once_and_then_there_is_nothing_left(study: Study) -> None:
    seen = []
    while (configuration := study.propose(study.trials())) is not None:
        seen.append(configuration)
        study.complete(study.begin(configuration, "w").number, Point(len(seen) / 20, 1.0, 1.0))
    assert sorted(map(str, seen)) == sorted(map(str, SPACE.all()))


def test_what_costs_too_much_is_not_tried_with_another_recipe(study: Study) -> None:
    study.give_up(study.begin(FIRST, "w").number, "refused", "too slow")
    left = open_configurations(SPACE, study.trials())
    assert len(left) == len(SPACE.all()) - 2
    assert not [one for one in left if (one.backbone, one.size) == ("a", None)]


def test_what_was_lost_is_tried_again_first_and_what_failed_is_not(study: Study) -> None:
    lost = Configuration("b", 96, "full")
    study.give_up(study.begin(lost, "w").number, "lost", "killed")
    assert study.propose(study.trials()) == lost
    study.give_up(study.begin(lost, "w").number, "failed", "no weights")
    assert lost not in open_configurations(SPACE, study.trials())


def test_of_two_copies_the_later_one_gives_way(study: Study) -> None:
    one, copy = study.begin(FIRST, "w"), study.begin(FIRST, "v")
    assert [is_surplus(trial, study.trials(), MOST) for trial in (one, copy)] == [False, True]


def test_one_too_many_gives_way(study: Study) -> None:
    trials = [study.begin(configuration, "w") for configuration in SPACE.all()[:3]]
    assert [is_surplus(trial, study.trials(), 2) for trial in trials] == [False, False, True]


def test_a_trial_that_others_gave_up_is_not_completed(study: Study) -> None:
    trial = study.begin(FIRST, "w")
    study.give_up(trial.number, "lost", "silent")
    with pytest.raises(TakenOver):
        study.complete(trial.number, Point(0.5, 1.0, 1.0))
    with pytest.raises(TakenOver):
        study.record(trial.number, "head", [0.5, 1.0, 1.0])
    study.give_up(trial.number, "failed", "too late")
    assert [(one.state, one.facts["reason"]) for one in study.trials()] == [("lost", "silent")]


def test_processes_that_share_a_file_never_try_the_same(tmp_path: Path) -> None:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["edgetl.search.study"])
    results = server.Queue()
    processes = [server.Process(target=claim_all, args=(tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    tried = [configuration for _ in processes for configuration in results.get(timeout=120)]
    for process in processes:
        process.join()
    assert Counter(tried) == Counter(SPACE.all())
    with closing(opened(tmp_path)) as study:
        assert sum(one.state == "complete" for one in study.trials()) == len(SPACE.all())


def test_a_process_that_was_killed_is_known_to_be_dead_at_once(tmp_path: Path) -> None:
    server = multiprocessing.get_context("forkserver")
    process = server.Process(target=die_at_work, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with closing(opened(tmp_path)) as study, at_work(tmp_path) as mine:
        (left,) = study.trials()
        assert left.state == "running"
        assert (is_dead(tmp_path, left.worker), is_dead(tmp_path, mine)) == (True, False)
        assert not is_dead(tmp_path / "elsewhere", left.worker)


def test_a_process_elsewhere_that_falls_silent_loses_its_trial(tmp_path: Path) -> None:
    with closing(opened(tmp_path, grace_s=1)) as study:
        silent, heard = study.begin(FIRST, "w"), study.begin(Configuration("b", 64, "full"), "v")
        with study.heard(heard.number):
            deadline = time.monotonic() + 30
            while study.trials()[silent.number].state == "running" and time.monotonic() < deadline:
                time.sleep(0.2)
                study.lose_silent()
        assert study.trials()[silent.number].state == "lost"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url", "^--storage must be the URL of a database"),
        ("sqlite:////nowhere/at/all/study.db", "cannot be used: .*Check --storage"),
        (
            "mssql+nodriver://u:secret@h/d",
            "^--storage must be|needs a driver that is not installed|cannot be",
        ),
    ],
)
def test_a_database_that_cannot_be_had_is_refused(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as told:
        Study(url, "edgetl-test", SPACE, seed=0)
    assert "secret" not in str(told.value)
