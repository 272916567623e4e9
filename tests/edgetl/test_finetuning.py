"""The whole way in one call: the backbone may be left open, and what the user names is what is measured."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgetl_factories import Diary, colour_folder

import edgetl
from edgetl.dataset import load_dataset
from edgetl.recipe import Recipe, check_keys
from edgetl.run import read_run
from edgetl.training import train
from edgetl_runtime.errors import InputError

SMALL: Mapping[str, Any] = {"size": 32, "crop": 1.0, "views": "none", "batch_size": 8}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_folder(tmp_path_factory.mktemp("colours"), strength=30)


@pytest.fixture(scope="module")
def tiny(pictures: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of a small network: a candidate whose weights are here."""
    return small_run("timm/test_efficientnet", pictures, shared_cache, tmp_path_factory.mktemp("tiny"))


def small_run(backbone: str, pictures: Path, shared_cache: Path, folder: Path) -> Path:
    recipe = Recipe(backbone=backbone, weights="none", unfreeze=(), **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(shared_cache))
        train(load_dataset(pictures), recipe, folder / "run")
    return folder / "run"


def test_a_backbone_may_be_left_open(pictures: Path, tiny: Path, tmp_path: Path) -> None:
    diary = Diary()
    run = edgetl.finetune(
        pictures,
        tmp_path / "run",
        watcher=diary,
        backbone="auto",
        candidates=(str(tiny),),
        epochs=1,
        time_budget_s=120,
        **SMALL,
    )
    told = run.search["advice"]
    assert told["backbone"] == run.recipe["backbone"] == str(tiny)
    planned = check_keys(told["plan"]["settings"], "the plan")
    assert {name: run.recipe[name] for name in planned} == planned
    assert read_run(tmp_path / "run").search["advice"] == told
    assert told["unprobed"]["scratch"] == "a run as backbone has no random weights"
    assert run.preprocess.size == 32
    assert any(
        note.startswith(f"As advised: {told['plan']['approach']} with {tiny}.") for note in diary.notes
    )


def test_stages_that_were_planned_for_one_backbone_are_not_asked_of_others(
    pictures: Path, tiny: Path, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven stages are all that the advised backbone has; the other has five."""
    other = small_run("timm/test_resnet", pictures, shared_cache, tmp_path / "other")
    planned = {"backbone": str(tiny), "unfreeze": (7,), "candidates": (str(other),)}
    monkeypatch.setattr(
        "edgetl.finetuning.advised", lambda dataset, recipe, *_: (replace(recipe, **planned), {})
    )
    monkeypatch.setattr("edgetl.attempt.reached", lambda accuracy, target: False)
    monkeypatch.setattr("edgetl.pursuit.reached", lambda accuracy, target: False)
    settings = {"backbone": "auto", "target_accuracy": 1.0, "epochs": 1, "learning_rate": 0.01}
    diary = Diary()
    run = edgetl.finetune(pictures, tmp_path / "run", watcher=diary, **settings, **SMALL)
    assert [(one["backbone"], one["failed"]) for one in run.search["attempts"]] == [
        (str(tiny), ""),
        (str(other), ""),
    ]
    first, second = (place for place, step in enumerate(diary.steps) if step.name == "head")
    assert [step.name for step in diary.steps[first + 1 : second]] == ["all stages"]
    assert [step.name for step in diary.steps[second + 1 :]] == ["last stage", "all stages"]


def test_words_that_no_recipe_has_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^edgetl\.finetune has unknown keys \['lr'\]"):
        edgetl.finetune(pictures, tmp_path / "run", lr=1)
