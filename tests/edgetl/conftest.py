"""Lets these tests say `from edgetl_factories import …`, and keeps the user's feature cache out of them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are named by what they are of, so tests may share them; what was computed once is read again."""
    monkeypatch.setenv("EDGETL_CACHE", str(shared_cache))
