"""What a worker elsewhere is sent, and what it does with it: it works on the study as any other process.

Knows nothing of what starts it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetl.dataset import Dataset
from edgetl.events import Watcher
from edgetl.ranks import sharing_cores
from edgetl.search.asked import Asked
from edgetl.search.ground import Ground
from edgetl.search.study import open_study
from edgetl.search.trial_loop import in_this_process
from edgetl_runtime.environment import read_cores
from edgetl_runtime.errors import InputError
from edgetl_runtime.remembered import cache_folder


@dataclass(frozen=True, slots=True)
class Errand:
    """A piece of work that another process may be sent.

    folder: where relative paths start. out, source, cache: as this process sees them. All are under the same
    path on every machine. until: seconds since 1970. cores: how many this worker may keep busy. identity: of
    the study; its "machine" is the processor that the study's times are of.
    """

    dataset: Dataset
    asked: Asked
    folder: Path
    out: Path
    source: Path
    cache: Path
    until: float
    cores: int
    identity: dict[str, Any]

    @classmethod
    def of(cls, ground: Ground, cores: int) -> "Errand":
        """Put down what this process works on."""
        return cls(
            dataset=ground.dataset,
            asked=ground.asked,
            folder=Path.cwd(),
            out=ground.out.resolve(),
            source=ground.source,
            cache=cache_folder().resolve(),
            until=time.time() + ground.seconds_left(),
            cores=cores,
            identity=ground.asked.identity(ground.dataset),
        )


def run_errand(errand: Errand) -> str:
    """Work on the study until it has enough; return why it ended.

    Raises:
        InputError: this machine is not the study's, or its database cannot be had from here.
    """
    _stand_where(errand)
    _refuse_other_machine(errand)
    errand.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + errand.until - time.time()
    ground = Ground(errand.dataset, errand.asked, errand.out, errand.source, Watcher(), deadline)
    with _few_threads(errand.cores), closing(open_study(errand.asked, errand.identity, errand.out)) as study:
        return in_this_process(ground, study)


@contextmanager
def _few_threads(cores: int) -> Iterator[None]:
    """Keep no more cores busy than these, whichever library computes."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        with threadpool_limits(cores), sharing_cores(max(1, read_cores() // cores)):
            yield
    finally:
        torch.set_num_threads(before)


def _stand_where(errand: Errand) -> None:
    """Let paths mean what they mean to whoever sent this; the process does nothing else."""
    os.environ["EDGETL_CACHE"] = str(errand.cache)
    try:
        os.chdir(errand.folder)
    except OSError as error:
        raise InputError(
            f"A worker's machine has no folder {str(errand.folder)!r} ({error}). Its pictures and the study "
            "must lie under the same paths on every machine of the cluster."
        ) from error


def _refuse_other_machine(errand: Errand) -> None:
    here, wanted = errand.asked.identity(errand.dataset)["machine"], errand.identity["machine"]
    if here != wanted:
        raise InputError(
            f"A worker's machine is {here[0]!r} with {here[1]} cores, and the study's times are of "
            f"{wanted[0]!r} with {wanted[1]}: they cannot be compared. Start the search on a machine of the "
            "same kind as the workers', or take this one out of the cluster."
        )
