"""The trials of a search on a Ray cluster. The one file that imports Ray; see docs/decisions/0014.

Ray finds cores for workers, starts them, and starts again those that were killed. It keeps nothing: every
worker asks the study, as a process that was started by hand does, and the study alone knows what is done.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import ray

from edgetl.search.errand import Errand, run_errand
from edgetl.search.ground import Ground
from edgetl.search.head import Head, answers
from edgetl.search.pricing import price_all
from edgetl.search.searching import Place
from edgetl.search.shares import Shares, share_out
from edgetl.search.study import Study
from edgetl.search.trial_loop import in_this_process, lose_dead
from edgetl.search.trials import LostWorkers, Trial, counted
from edgetl_runtime.environment import read_cores
from edgetl_runtime.errors import InputError

LOCAL = "local"
# How often Ray starts a worker again that was killed.
_RESTARTS = 3
_LOOK_S, _CANCEL_S = 1.0, 120.0
# No statistics of use, GPUs as without Ray, and workers that are no nicer than this process.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}


def on_ray(address: str, workers: int | None) -> Place:
    """Return what has the trials done on the cluster at this address, or on one made for it here.

    Args:
        address: HOST:PORT of the cluster's head, or local. workers: None is one for each core.

    Raises:
        InputError: nobody answers there.
    """
    if address != LOCAL and not answers(address):
        raise InputError(
            f"--ray must be local or the HOST:PORT of a Ray cluster that runs, got {address!r}, where nobody "
            "answers. Start one with: ray start --head --port 6379"
        )

    def place(ground: Ground, study: Study) -> str:
        lose_dead(ground, study)
        if counted(study.trials()) >= ground.asked.trials:
            return in_this_process(ground, study)  # Which finds nothing to do.
        price_all(ground)  # Before anybody is at work: who shares a machine slows the others.
        with _cluster(address):
            shares = _shares(ground, study, workers)
            ground.watcher.note(f"Workers on Ray: {shares.workers}, each with {shares.cores} of the cores.")
            return _watch(_start(ground, shares), ground, study)

    return place


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connect to a cluster, or make one of this machine that ends with this process."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    own = {"num_cpus": read_cores(), "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(
            f"The Ray cluster {address!r} cannot be used: {first} Check that it runs the same versions of "
            "Ray and Python, and that RAY_AUTH_MODE and the token are those that it was started with."
        ) from error
    try:
        with redirect_stdout(sys.stderr):  # Ray tells there what befell a worker; stdout is the result's.
            yield
    finally:
        ray.shutdown()


def _shares(ground: Ground, study: Study, wanted: int | None) -> Shares:
    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    if len(machines) > 1 and ground.asked.storage is None:
        raise InputError(
            f"The Ray cluster has {len(machines)} machines, which cannot share a file of SQLite. Give a "
            "database with --storage postgresql+pg8000://user:password@machine/name"
        )
    left = ground.asked.trials - counted(study.trials())
    return share_out(machines, wanted, left)


def _start(ground: Ground, shares: Shares) -> list[Any]:  # ray.ObjectRef[str]
    """Start all workers; where there is no place for one, it waits."""
    work = ray.remote(num_cpus=shares.cores, max_retries=_RESTARTS)(run_errand)
    errand = ray.put(Errand.of(ground, shares.cores))
    return [work.remote(errand) for _ in range(shares.workers)]


def _watch(working: Sequence[Any], ground: Ground, study: Study) -> str:
    """Tell what becomes of the trials until all workers have ended; return why they did."""
    told: dict[int, str] = {}
    why, reasons = "", list[str]()
    head = Head(ray.get_runtime_context().gcs_address)
    try:
        while working:
            ended, working = ray.wait(working, num_returns=1, timeout=_LOOK_S)
            for one in ended:
                why, reasons = _heard(one, why, reasons)
                ground.watcher.note(f"A worker has ended: {(reasons or [why])[-1]}")
            told = _tell(ground, study.trials(), told)
            head.refuse_gone()
    except KeyboardInterrupt:
        _cancel(working, ground)
        raise
    if reasons and (not why or _is_unfinished(ground, study.trials())):
        raise LostWorkers(
            f"{len(reasons)} of the workers have ended early: {reasons[0]} Finished trials are kept, and the "
            "same command goes on."
        )
    return why


def _is_unfinished(ground: Ground, trials: Sequence[Trial]) -> bool:
    """Tell whether the workers that died have left something to do."""
    left = counted(trials) < ground.asked.trials and ground.seconds_left() > 0
    return left or any(one.state == "running" for one in trials)


def _heard(ended: Any, why: str, reasons: list[str]) -> tuple[str, list[str]]:
    """Return why a worker ended beside what the others said: of itself, or by what befell it."""
    try:
        return str(ray.get(ended)), reasons
    except InputError as error:  # Ray's error is one of the class that was raised.
        return why, [*reasons, str(getattr(error, "cause", error))]
    except ray.exceptions.RayError as error:
        return why, [*reasons, str(error).partition("\n")[0]]


def _tell(ground: Ground, trials: Sequence[Trial], told: dict[int, str]) -> dict[int, str]:
    """Say which trials have changed since then; return how they stand."""
    ground.watcher.progress(sum(one.state == "complete" for one in trials), ground.asked.trials)
    for one in trials:
        if one.state != told.get(one.number) and one.state != "surplus" and "process" in one.facts:
            where = "{machine}, process {pid}".format(**one.facts["process"])
            reason = f" ({one.facts['reason']})" if "reason" in one.facts else ""
            ground.watcher.note(
                f"Trial {one.number} on {where}: {one.state}{reason}: {one.configuration.told()}"
            )
    return {one.number: one.state for one in trials if "process" in one.facts}


def _cancel(working: Sequence[Any], ground: Ground) -> None:
    """Let the workers keep what they have done so far."""
    ground.watcher.note("Interrupted: the workers keep what they have done so far.")
    for one in working:
        ray.cancel(one, force=False)
    ray.wait(list(working), num_returns=len(working), timeout=_CANCEL_S)
