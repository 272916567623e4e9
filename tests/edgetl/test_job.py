"""A job: what is settled before the first number."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgetl_factories import Diary, tiny_job

from edgetl.cost import Cost
from edgetl.dataset import Dataset, split_dataset
from edgetl.job import flushed_denormals, prepare
from edgetl.recipe import Recipe
from edgetl.roles import halves
from edgetl_runtime.errors import DatasetError, InputError
from edgetl_runtime.pictures import Index, Picture, Split

RECIPE = Recipe(backbone="timm/test_efficientnet", weights="none")


def dataset(counts: dict[tuple[str, Split], int]) -> Dataset:
    keys = [key for key, count in counts.items() for _ in range(count)]
    pictures = tuple(
        Picture(Path(f"{n}.png"), f"{n:064x}", (label,), split) for n, (label, split) in enumerate(keys)
    )
    return split_dataset(Index(Path("data"), ("a", "b"), "single_label", pictures))


def some(**more: int) -> Dataset:
    """Make 10 + 30 training pictures, 4 + 4 for validation and one of each to test."""
    counts: dict[tuple[str, Split], int] = {("a", "train"): 10, ("b", "train"): 30}
    counts |= {("a", "val"): more.get("val", 4), ("b", "val"): more.get("val_b", 4)}
    return dataset(counts | {("a", "test"): 1, ("b", "test"): 1})


def test_the_network_says_what_the_recipe_does_not() -> None:
    job = prepare(some(), RECIPE, Diary())
    native = job.backbone.native
    assert (job.preprocess.size, job.preprocess.crop, job.preprocess.filter) == (160, 0.95, "bicubic")
    assert job.preprocess == native.preprocess()


def test_the_recipe_has_the_last_word() -> None:
    job = prepare(some(), replace(RECIPE, size=64, crop=0.5), Diary())
    assert (job.preprocess.size, job.preprocess.crop) == (64, 0.5)
    assert job.backbone.native.preprocess() == job.preprocess


def test_validation_is_halved_into_choosing_and_verifying() -> None:
    given = some()
    job = prepare(given, RECIPE, Diary())
    assert (job.choose, job.verify) == halves(given.val)
    assert (len(job.choose), len(job.verify)) == (4, 4)


def test_classes_are_weighed_by_the_training_pictures() -> None:
    assert prepare(some(), RECIPE, Diary()).weights.tolist() == pytest.approx([2, 2 / 3])
    assert prepare(some(), replace(RECIPE, class_weights="none"), Diary()).weights.tolist() == [1, 1]


def test_validation_by_a_single_picture_is_refused_before_any_work() -> None:
    diary = Diary()
    with pytest.raises(DatasetError, match=r"^data has one picture for validation.* Add pictures"):
        prepare(some(val=1, val_b=0), RECIPE, diary)
    assert diary.phases == []


def test_a_backbone_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="No backbone is called 'tset'"):
        prepare(some(), Recipe(backbone="tset"), Diary())


def test_a_backbone_beyond_a_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl.cost.find_cost", lambda backbone, classes: Cost(6.0, 8_000_000 * classes))
    assert prepare(some(), replace(RECIPE, max_latency_ms=6.0, max_size_mb=16.0), Diary())
    beyond = r"^The backbone 'timm/test_efficientnet' is beyond a limit here: "
    with pytest.raises(InputError, match=beyond + r"6\.0 ms, more than 5\.9\. Name a smaller --backbone"):
        prepare(some(), replace(RECIPE, max_latency_ms=5.9), Diary())
    with pytest.raises(InputError, match=beyond + r"16\.0 MB, more than 15\."):
        prepare(some(), replace(RECIPE, max_size_mb=15.0), Diary())


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match=r"missing\.safetensors' cannot be read"):
        prepare(some(), replace(RECIPE, weights=missing), Diary())


def test_the_seed_draws_random_weights() -> None:
    first, again = prepare(some(), RECIPE, Diary()), prepare(some(), RECIPE, Diary())
    other = prepare(some(), replace(RECIPE, seed=1), Diary())
    assert first.backbone.weights_id == again.backbone.weights_id != other.backbone.weights_id


def test_the_clock_runs_from_the_beginning() -> None:
    job = prepare(some(), replace(RECIPE, time_budget_s=100.0), Diary())
    assert 0 < job.seconds_left() < 100
    assert tiny_job(seconds=-1).seconds_left() < 0


def test_steps_are_named_by_what_they_train() -> None:
    job = tiny_job(unfreeze=(1, 2, 4))
    assert [job.step_name(span) for span in job.spans()] == ["last stage", "last 2 stages", "all stages"]


def test_random_weights_are_trained_from_scratch_unless_steps_are_listed() -> None:
    job = tiny_job(weights="none")
    assert [job.step_name(span) for span in job.spans()] == ["from scratch"]
    listed = tiny_job(weights="none", unfreeze=(1,))
    assert [listed.step_name(span) for span in listed.spans()] == ["last stage"]


def test_the_job_has_a_number_for_every_regularizer() -> None:
    """20 pictures for each class is where weights are no longer held at their start."""
    recipe = prepare(some(), RECIPE, Diary()).recipe
    assert (recipe.label_smoothing, recipe.l2_sp, recipe.weight_decay, recipe.mixup) == (0.1, 0.0, 0.01, 0.0)
    named = replace(RECIPE, label_smoothing=0.3, l2_sp=0.5)
    recipe = prepare(some(), named, Diary()).recipe
    assert (recipe.label_smoothing, recipe.l2_sp, recipe.weight_decay) == (0.3, 0.5, 0.0)


def test_logits_are_scored_under_the_weights_of_the_job() -> None:
    job = replace(tiny_job(), weights=np.array([3, 1], np.float32))
    logits = np.random.default_rng(0).normal(size=(len(job.choose), 2))
    assert job.score(logits, job.choose).loss != tiny_job().score(logits, job.choose).loss
    assert job.targets(job.choose).tolist() == [int(one.sha256, 16) % 2 for one in job.choose]


@pytest.mark.parametrize("before", [False, True])
def test_numbers_next_to_zero_are_flushed_for_the_training_alone(before: bool) -> None:
    def flushed() -> bool:
        return bool(torch.tensor(1e-310, dtype=torch.float64) * 1 == 0)

    torch.set_flush_denormal(before)
    try:
        with pytest.raises(KeyError), flushed_denormals():
            assert flushed()
            raise KeyError
        assert flushed() is before
    finally:
        torch.set_flush_denormal(False)
