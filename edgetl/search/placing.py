"""The trials of a search on a Ray cluster; see docs/decisions/0014.

The cluster keeps nothing: every worker asks the study, as a process that was started by hand does, and the
study alone knows what is done.
"""

from collections.abc import Sequence
from typing import Any

from edgetl.cluster.head import refuse_silent
from edgetl.cluster.on_ray import Cluster, connected
from edgetl.cluster.shares import Shares, share_out
from edgetl.cluster.workers import LostWorkers
from edgetl.search.errand import Errand, run_errand
from edgetl.search.ground import Ground
from edgetl.search.pricing import price_all
from edgetl.search.searching import Place
from edgetl.search.study import Study
from edgetl.search.trial_loop import in_this_process, lose_dead
from edgetl.search.trials import Trial, counted
from edgetl_runtime.errors import EdgetlError, InputError

_REMEDY = "Finished trials are kept: start the cluster again, and give the same command."


def on_ray(address: str, workers: int | None) -> Place:
    """Return what has the trials done on the cluster at this address, or on one made for it here.

    Args:
        address: HOST:PORT of the cluster's head, or local. workers: None is one for each core.

    Raises:
        InputError: nobody answers there.
    """
    refuse_silent(address)

    def place(ground: Ground, study: Study) -> str:
        lose_dead(ground, study)
        if counted(study.trials()) >= ground.asked.trials:
            return in_this_process(ground, study)  # Which finds nothing to do.
        price_all(ground)  # Before anybody is at work: who shares a machine slows the others.
        with connected(address, _REMEDY) as cluster:
            shares = _shares(cluster.machines, ground, study, workers)
            ground.watcher.note(shares.sentence())
            return _watch(cluster, _start(cluster, ground, shares), ground, study)

    return place


def _shares(machines: Sequence[int], ground: Ground, study: Study, wanted: int | None) -> Shares:
    if len(machines) > 1 and ground.asked.storage is None:
        raise InputError(
            f"The Ray cluster has {len(machines)} machines, which cannot share a file of SQLite. Give a "
            "database with --storage postgresql+pg8000://user:password@machine/name"
        )
    left = ground.asked.trials - counted(study.trials())
    return share_out(machines, wanted, left)


def _start(cluster: Cluster, ground: Ground, shares: Shares) -> list[Any]:  # ray.ObjectRef[str]
    errand = cluster.keep(Errand.of(ground, shares.cores))
    return [cluster.start(run_errand, (errand,), shares.cores) for _ in range(shares.workers)]


def _watch(cluster: Cluster, working: Sequence[Any], ground: Ground, study: Study) -> str:
    """Tell what becomes of the trials until all workers have ended; return why they did."""
    told: dict[int, str] = {}
    why, reasons = "", list[str]()
    try:
        while working:
            ended, working = cluster.look(working)
            for one in ended:
                why, reasons = _heard(cluster, one, why, reasons)
                ground.watcher.note(f"A worker has ended: {(reasons or [why])[-1]}")
            told = _tell(ground, study.trials(), told)
    except KeyboardInterrupt:
        ground.watcher.note("Interrupted: the workers keep what they have done so far.")
        cluster.cancel(working)
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


def _heard(cluster: Cluster, ended: Any, why: str, reasons: list[str]) -> tuple[str, list[str]]:
    """Return why a worker ended beside what the others said: of itself, or by what befell it."""
    try:
        return str(cluster.result(ended)), reasons
    except EdgetlError as error:
        return why, [*reasons, str(error)]


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
