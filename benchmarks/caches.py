"""An empty cache for what is measured, so that nothing is read back that was found out before."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from unittest.mock import patch


@contextmanager
def empty_cache() -> Iterator[None]:
    """Let this process have a cache of its own, which is gone in the end."""
    with TemporaryDirectory() as folder, patch.dict("os.environ", EDGETL_CACHE=folder):
        yield
