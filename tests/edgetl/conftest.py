"""Lets these tests say `from edgetl_factories import …`, and keeps the user's feature cache out of them."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from started import Cluster

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are named by what they are of, so tests may share them; what was computed once is read again."""
    monkeypatch.setenv("EDGETL_CACHE", str(shared_cache))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator["Cluster"]:
    """A Ray cluster of this machine."""
    pytest.importorskip("ray", reason="Ray is not installed (extra ray)")
    from started import Cluster

    found = Cluster(tmp_path)
    found.begin()
    yield found
    found.kill()
    shutil.rmtree(found.folder, ignore_errors=True)
