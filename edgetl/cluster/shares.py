"""How many workers there are, and how many cores each of them gets. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetl_runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class Shares:
    """workers: how many. cores: what each of them may keep busy."""

    workers: int
    cores: int

    def sentence(self) -> str:
        """Say so."""
        return f"Workers on Ray: {self.workers}, each with {self.cores} of the cores."


def share_out(machines: Sequence[int], wanted: int | None, most: int) -> Shares:
    """Give each worker as many cores as can be while all of them have a place.

    Args:
        machines: the cores of each. wanted: workers; None is one for each core. most: more workers than
            these would have nothing to do.

    Raises:
        InputError: there are fewer cores than workers.
    """
    total = sum(machines)
    if not 1 <= (wanted or 1) <= total:
        raise InputError(
            f"--ray-workers must be a whole number in [1, {total}], since the Ray cluster has {total} cores "
            f"for them, got {wanted or 1!r}. Give fewer, or add machines to the cluster."
        )
    workers = max(1, min(wanted or total, most))
    fitting = [cores for cores in range(1, max(machines) + 1) if _places(machines, cores) >= workers]
    return Shares(workers, fitting[-1])


def _places(machines: Sequence[int], cores: int) -> int:
    return sum(machine // cores for machine in machines)
