"""`edgetl cache`: what it shows and what it deletes."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgetl.cache import Store
from edgetl.cli import main

FACTS = {"backbone": "tiny", "after": 3, "view": {"name": "hflip"}, "precision": "f32"}


@pytest.fixture
def folder(own_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path))
    monkeypatch.setenv("EDGETL_CACHE_GB", "3")
    with Store(tmp_path / "activations" / "one", [1_000_000], "float16", FACTS).writer() as writer:
        writer.append(["ab" * 32], np.zeros((1, 1_000_000)))
    return tmp_path / "activations"


def test_stores_are_listed_with_what_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == f"{folder}: 0.00 GB of 3 GB at most"
    assert text.splitlines()[2].split() == ["tiny", "stage", "3", "hflip", "f32", "2.0", "0.0"]


def test_json_tells_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cap_bytes"], found["deleted_bytes"]) == (3_000_000_000, 0)
    assert [(one["name"], one["view"], one["in_use"]) for one in found["stores"]] == [("one", "hflip", False)]


def test_clearing_spares_what_is_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Store(folder / "other", [4], "float16", FACTS)
    assert main(["cache", "--clear", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["deleted_bytes"] > 2_000_000
    assert [(one["name"], one["in_use"]) for one in found["stores"]] == [("other", True)]
    assert other.missing([]) == []


def test_an_empty_cache_is_no_fault(
    own_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "none"))
    assert main(["cache"]) == 0
    assert "0.00 GB of 20 GB at most" in capsys.readouterr().out
