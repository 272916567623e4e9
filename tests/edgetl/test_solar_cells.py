"""The demo's dataset: what the package holds, and blocks of neighbours that stay together."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from edgetl.dataset import load_dataset
from edgetl.solar_cells import LICENCE, Cell, Kind, list_cells, solar_cells, solar_cells_csv, split_blocks
from edgetl_runtime.errors import DatasetError, InputError
from edgetl_runtime.pictures import index


def cells(*kinds: Kind) -> list[Cell]:
    return [Cell(Path(f"{number}.png"), 0.0, kind) for number, kind in enumerate(kinds)]


def test_neighbours_in_a_block_are_never_split() -> None:
    listed = list_cells()
    for seed in range(5):
        splits = split_blocks(listed, seed)
        for kind in ("mono", "poly"):
            own = [split for split, cell in zip(splits, listed, strict=True) if cell.kind == kind]
            assert all(len(set(own[start : start + 30])) == 1 for start in range(0, len(own), 30))


def test_both_kinds_are_split_in_the_same_shares() -> None:
    splits = split_blocks(cells(*["mono"] * 600, *["poly"] * 1200), seed=1)
    assert Counter(splits[:600]) == {"train": 360, "val": 90, "test": 150}
    assert Counter(splits[600:]) == {"train": 720, "val": 180, "test": 300}


def test_the_seed_alone_draws_the_blocks() -> None:
    listed = cells(*["mono"] * 600)
    assert split_blocks(listed, 1) == split_blocks(listed, 1) != split_blocks(listed, 2)


@pytest.mark.parametrize(
    ("probability", "label"), [(0, "functional"), (1 / 3, "functional"), (2 / 3, "defective")]
)
def test_a_cell_is_defective_when_that_is_more_probable_than_not(probability: float, label: str) -> None:
    assert Cell(Path("cell.png"), probability, "mono").label == label


def test_a_cell_checks_itself() -> None:
    with pytest.raises(DatasetError, match=r"must be in \[0, 1\], got 2"):
        Cell(Path("cell.png"), 2, "mono")
    with pytest.raises(DatasetError, match="must be 'mono' or 'poly', got 'thin'"):
        Cell(Path("cell.png"), 1, "thin")  # type: ignore[arg-type]  # the mistake under test


def test_the_package_holds_2624_cells_of_which_821_are_defective() -> None:
    dataset = solar_cells()
    pictures = (*dataset.train, *dataset.val, *dataset.test)
    assert Counter(picture.labels for picture in pictures) == {("defective",): 821, ("functional",): 1803}
    assert [len(part) for part in (dataset.train, dataset.val, dataset.test)] == [1580, 390, 654]
    assert (dataset.leaks, dataset.conflicts) == ((), ())
    assert "elpv_dataset" not in sys.modules


def test_the_csv_is_the_same_dataset_as_any_user_s(tmp_path: Path) -> None:
    dataset = solar_cells(seed=3)
    path = solar_cells_csv(tmp_path / "cells.csv", seed=3)
    assert index(path, check=False).fingerprint == dataset.fingerprint
    assert {one.path for one in load_dataset(path).test} == {one.path for one in dataset.test}


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)
    with pytest.raises(InputError, match=r"not installed\. Run: pip install 'edgetl\[demo\]'"):
        solar_cells()


def test_the_licence_forbids_redistribution_and_names_the_paper() -> None:
    assert "CC BY-NC-SA 4.0" in LICENCE
    assert "Deitsch et al." in LICENCE
