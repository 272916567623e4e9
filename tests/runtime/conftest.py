"""Lets the runtime's tests say `from runtime_factories import …` under `--import-mode=importlib`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see what another one, or the user's own work, has made this machine remember."""
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path_factory.mktemp("cache")))
