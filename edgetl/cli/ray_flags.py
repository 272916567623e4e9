"""The flags of commands that workers on Ray may help with, and what is refused of them before the work."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl.cluster.workers import Workers

WORKERS_HELP = "Workers on Ray, who share the cores. Default: one for each core."


def check_ray(address: str | None, wanted: int | None) -> bool:
    """Tell whether Ray is wanted.

    Raises:
        InputError: workers are wanted without it or fewer than one, or it is not installed.
    """
    if address is None:
        if wanted is not None:
            raise InputError("--ray-workers needs a cluster. Give --ray local, or --ray HOST:PORT.")
        return False
    if wanted is not None and wanted < 1:
        raise InputError(f"--ray-workers must be at least 1, got {wanted}.")
    require("ray", "--ray needs Ray", "ray")
    return True


def find_workers(
    flags: tuple[str | None, int | None], remedy: str, tell: Callable[[str], None]
) -> "Workers | None":
    """Return the workers that --ray and --ray-workers name; see `RayWorkers`.

    Raises:
        InputError: nobody answers at the address, or see `check_ray`.
    """
    address, wanted = flags
    if not check_ray(address, wanted) or address is None:
        return None
    from edgetl.cluster.head import refuse_silent
    from edgetl.cluster.on_ray import RayWorkers

    refuse_silent(address)
    return RayWorkers(address, wanted, remedy, tell)


def require(module: str, what: str, extra: str) -> None:
    """Refuse what needs a module that is not installed, and say which extra brings it."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise InputError(f"{what}, which is not installed. Run: pip install 'edgetl[{extra}]'")
