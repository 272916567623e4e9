"""Where the sender of work stands: its folder, its cache, and the cores that it leaves to each worker.

Knows neither the work nor what carries it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from edgetl.collecting import collect_less
from edgetl.ranks import sharing_cores
from edgetl_runtime.environment import read_cores
from edgetl_runtime.errors import InputError
from edgetl_runtime.remembered import cache_folder


@dataclass(frozen=True, slots=True)
class Standpoint:
    """What a worker must know of its sender for paths to mean the same to both.

    folder: where relative paths start. cache: of features. Both are under the same path on every machine.
    cores: how many the worker may keep busy.
    """

    folder: Path
    cache: Path
    cores: int

    @classmethod
    def of(cls, cores: int) -> "Standpoint":
        """Put down where this process stands."""
        return cls(Path.cwd(), cache_folder().resolve(), cores)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Stand there, in a process that does nothing else, and keep to the cores meanwhile.

        Raises:
            InputError: this machine has no such folder.
        """
        collect_less()
        os.environ["EDGETL_CACHE"] = str(self.cache)
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise InputError(
                f"A worker's machine has no folder {str(self.folder)!r} ({error}). Pictures, the cache and "
                "what is written must lie under the same paths on every machine of the cluster."
            ) from error
        with _few_threads(self.cores):
            yield


@contextmanager
def _few_threads(cores: int) -> Iterator[None]:
    """Keep no more cores busy than these, whichever library computes."""
    with threadpool_limits(cores), sharing_cores(max(1, read_cores() // cores)), _few_of_torch(cores):
        yield


@contextmanager
def _few_of_torch(cores: int) -> Iterator[None]:
    """Cap the threads of torch where it is loaded; whoever has not loaded it by now works without."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else cores
    try:
        if torch:
            torch.set_num_threads(cores)
        yield
    finally:
        if torch:
            torch.set_num_threads(before)
