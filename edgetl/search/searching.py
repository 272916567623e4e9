"""A search from end to end: trial after trial until the study has enough, then int8, then what was found.

Reads top to bottom as the user sees it. Any number of processes may work on one study, wherever they were
started; each sees the trials of all. Whoever is killed loses the trial at hand, which the next process takes
up again.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from edgetl.cluster.workers import LostWorkers
from edgetl.dataset import Dataset, check_names
from edgetl.events import Watcher
from edgetl.search.asked import Asked
from edgetl.search.findings import Findings, find_rows, float_front
from edgetl.search.ground import Ground
from edgetl.search.in_int8 import int8_facts, measure_int8
from edgetl.search.pareto import write_pareto
from edgetl.search.study import Study, open_study
from edgetl.search.trial_loop import in_this_process
from edgetl.search.trials import Trial
from edgetl.search.worker import WORKERS, alone
from edgetl_runtime.atomic import write_json
from edgetl_runtime.errors import InputError

IDENTITY, FACTS, PICTURE = "search.json", "study.json", "pareto.svg"
# Has the study's trials done, and says why that ended.
Place = Callable[[Ground, Study], str]


def search(
    dataset: Dataset,
    asked: Asked,
    out: Path,
    watcher: Watcher | None = None,
    *,
    source: Path | None = None,
    place: Place = in_this_process,
) -> Findings:
    """Look for the best models within the limits, and leave a study.

    The same call goes on with the trials that are done. Ctrl-C keeps them; `Findings.interrupted` says so.

    Args:
        out: the study's folder, made where it is not there.
        source: what `load_dataset` was given, for the record: export reads the pictures there again.
        place: where the trials are done.

    Raises:
        LostWorkers: workers elsewhere died; what they had finished is kept.
        InputError: the folder has another study, the database cannot be had, or no trial led to a model.
    """
    check_names(dataset)
    identity = asked.identity(dataset)
    _claim_folder(out, identity | {"storage": _digest(asked.storage)})
    deadline = time.monotonic() + asked.time_budget_s
    ground = Ground(dataset, asked, out, source or dataset.root, watcher or Watcher(), deadline)
    with closing(open_study(asked, identity, out)) as study:
        return _searched(ground, study, place)


def _searched(ground: Ground, study: Study, place: Place) -> Findings:
    """Do the trials and int8; write what was found, also after Ctrl-C and where workers were lost."""
    interrupted, lost = False, None
    try:
        note = place(ground, study)
        note += _do_int8(ground, study.trials())
    except KeyboardInterrupt:
        interrupted, note = True, "interrupted: the same command goes on"
        ground.watcher.note("Interrupted: finished trials are kept, and the same command goes on.")
    except LostWorkers as error:
        lost, note = error, str(error)
    findings = _found(ground, study, (note, interrupted))
    write_json(ground.out / FACTS, findings.to_json())
    if findings.rows:
        write_pareto(ground.out / PICTURE, findings.rows)
    if lost is not None:
        raise lost
    if not (findings.rows or interrupted):
        raise InputError(_without_model(findings))
    return findings


def _do_int8(ground: Ground, trials: list[Trial]) -> str:
    """Measure the front in int8, once nobody is at work; return what is to be said of it."""
    if "int8" not in ground.asked.precisions:
        return ""
    if any(one.state == "running" for one in trials):
        return "; int8 is measured by the process that ends last, or by the same command"
    folders = [ground.folder(one.number) for one in float_front(trials)]
    with alone(ground.out, "int8"):
        measure_int8([one for one in folders if one.is_dir()], ground.watcher)
    return ""


def _found(ground: Ground, study: Study, ended: tuple[str, bool]) -> Findings:
    trials = tuple(one for one in study.trials() if one.state != "surplus")
    missing = {one.number: int8_facts(ground.folder(one.number)).get("reason", "") for one in trials}
    return Findings(
        study=study.name,
        asked=ground.asked,
        trials=trials,
        rows=find_rows(trials, ground.out),
        no_int8={number: reason for number, reason in missing.items() if reason},
        note=ended[0],
        interrupted=ended[1],
    )


def _claim_folder(out: Path, identity: dict[str, Any]) -> None:
    """Write down whose folder this is, or refuse one that has another study."""
    path = out / IDENTITY
    if not path.exists():
        if _is_foreign(out):
            raise InputError(f"{str(out)!r} exists and is no study. Choose another --out, or remove it.")
        out.mkdir(parents=True, exist_ok=True)
    with alone(out, "folder"):
        if not path.exists():
            write_json(path, identity)
    kept = _read(path)
    if others := sorted(name for name in {*kept, *identity} if kept.get(name) != identity.get(name)):
        raise InputError(
            f"{str(out)!r} has a study with other {', '.join(others)}. Give the same ones to go on with it, "
            "or choose another --out. The number of trials, the time budget and the precisions may change."
        )


def _digest(url: str | None) -> str | None:
    """Return what tells databases apart and shows no password; a number of a trial is one of its database."""
    return None if url is None else hashlib.sha256(url.encode()).hexdigest()


def _is_foreign(out: Path) -> bool:
    """Tell whether something else is there; another process may just be making the folder."""
    if not out.is_dir():
        return out.exists()
    names = {one.name for one in out.iterdir()}
    return bool(names) and WORKERS not in names


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}. Choose another --out.") from error
    if not isinstance(found, dict):
        raise InputError(f"{str(path)!r} is not of a study. Choose another --out.")
    return found


def _without_model(findings: Findings) -> str:
    reasons = [
        f"{one.configuration.told()}: {one.facts['reason']}"
        for one in findings.trials
        if "reason" in one.facts
    ]
    told = "; ".join(reasons[:3]) or "none was begun"
    return (
        f"No trial led to a model ({findings.note}): {told}. Raise --max-latency-ms, --max-size-mb or "
        "--time-budget, or name other --candidates or smaller --sizes."
    )
