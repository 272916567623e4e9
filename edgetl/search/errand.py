"""What a worker elsewhere is sent, and what it does with it: it works on the study as any other process.

Knows nothing of what starts it.
"""

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetl.cluster.standpoint import Standpoint
from edgetl.dataset import Dataset
from edgetl.events import Watcher
from edgetl.search.asked import Asked
from edgetl.search.ground import Ground
from edgetl.search.study import open_study
from edgetl.search.trial_loop import in_this_process
from edgetl_runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class Errand:
    """A piece of work that another process may be sent.

    out, source: as the sender sees them from where it stands. until: seconds since 1970. identity: of the
    study; its "machine" is the processor that the study's times are of.
    """

    dataset: Dataset
    asked: Asked
    stand: Standpoint
    out: Path
    source: Path
    until: float
    identity: dict[str, Any]

    @classmethod
    def of(cls, ground: Ground, cores: int) -> "Errand":
        """Put down what this process works on."""
        return cls(
            dataset=ground.dataset,
            asked=ground.asked,
            stand=Standpoint.of(cores),
            out=ground.out.resolve(),
            source=ground.source,
            until=time.time() + ground.seconds_left(),
            identity=ground.asked.identity(ground.dataset),
        )


def run_errand(errand: Errand) -> str:
    """Work on the study until it has enough; return why it ended.

    Raises:
        InputError: this machine is not the study's, or its database cannot be had from here.
    """
    with errand.stand.taken():
        _refuse_other_machine(errand)
        errand.out.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + errand.until - time.time()
        ground = Ground(errand.dataset, errand.asked, errand.out, errand.source, Watcher(), deadline)
        with closing(open_study(errand.asked, errand.identity, errand.out)) as study:
            return in_this_process(ground, study)


def _refuse_other_machine(errand: Errand) -> None:
    here, wanted = errand.asked.identity(errand.dataset)["machine"], errand.identity["machine"]
    if here != wanted:
        raise InputError(
            f"A worker's machine is {here[0]!r} with {here[1]} cores, and the study's times are of "
            f"{wanted[0]!r} with {wanted[1]}: they cannot be compared. Start the search on a machine of the "
            "same kind as the workers', or take this one out of the cluster."
        )
