"""Which side to unfreeze: three probes of the real thing, and the choice from their numbers."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from edgetl_factories import Diary, colour_folder

from edgetl import direction
from edgetl.dataset import Dataset, load_dataset
from edgetl.direction import Probe, best_direction, choose_direction, told
from edgetl.job import Job, prepare
from edgetl.recipe import Direction, Recipe

RECIPE = Recipe(
    backbone="timm/test_efficientnet",
    weights="none",
    size=32,
    crop=1.0,
    views="none",
    batch_size=8,
    learning_rate=0.01,
    unfreeze="auto",
)


def probe(block: Direction, loss: float | None) -> Probe:
    return Probe(block, "last stage", loss, 0.5, 1.0, 10, 1.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(colour_folder(tmp_path_factory.mktemp("colours"), strength=4))


def job(dataset: Dataset, diary: Diary, **changes: object) -> Job:
    """Make a job whose random weights count as pretrained ones, which are not trained from scratch."""
    made = prepare(dataset, replace(RECIPE, **changes), diary)
    return replace(made, recipe=replace(made.recipe, weights="default"))


def test_the_lowest_loss_chooses() -> None:
    losses = {"input": 0.4, "middle": 0.3, "output": 0.35}
    assert best_direction([probe(block, loss) for block, loss in losses.items()]) == "middle"
    assert best_direction([probe("input", None), probe("output", 0.6)]) == "output"
    assert best_direction([probe("input", 0.0), probe("output", 0.6)]) == "input"
    assert best_direction([probe("input", 0.1), probe("output", 0.1)]) == "output"


def test_the_output_is_taken_where_there_is_nothing_to_go_by() -> None:
    assert best_direction([]) == "output"
    assert best_direction([probe("input", None)]) == "output"


def test_the_probes_are_told_in_a_line() -> None:
    assert told([probe("input", 0.4), probe("output", None)], "input") == (
        "unfreeze: input; validation loss 0.500 after a moment of tuning: "
        "input 0.400 (gradient 1.00), output diverged (gradient 1.00)"
    )
    assert told([], "output").startswith("unfreeze: output, since time")


def test_three_blocks_are_probed_and_the_table_is_kept_for_a_restart(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = Diary()
    chosen, probes = choose_direction(job(dataset, diary), tmp_path)
    assert [one.block for one in probes] == ["input", "middle", "output"]
    assert [one.stages for one in probes] == ["first 2 stages", "stages 3 to 5", "last 2 stages"]
    assert max(one.gradient for one in probes) == 1.0
    assert min(one.gradient for one in probes) > 0
    assert len({one.loss for one in probes}) == 3
    assert len({one.batches for one in probes}) == 1
    assert chosen.recipe.unfreeze == best_direction(probes)
    assert diary.notes == [told(probes, best_direction(probes))]
    monkeypatch.setattr(direction, "_probe", None)  # It is not run again.
    again, kept = choose_direction(job(dataset, Diary()), tmp_path)
    assert (again.recipe.unfreeze, kept) == (chosen.recipe.unfreeze, probes)
    assert len(json.loads((tmp_path / "direction.json").read_text())["probes"]) == 3


def test_gradients_that_are_no_numbers_are_told_and_kept(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = iter([math.nan, 2.0, 4.0] * 5)  # Of input, middle and output, five batches.
    monkeypatch.setattr(direction, "_relative_norm", lambda modules: next(norms))
    diary = Diary()
    _, probes = choose_direction(job(dataset, diary), tmp_path)
    assert [one.gradient for one in probes] == [None, 0.5, 1.0]
    assert "(gradient no number), middle" in diary.notes[0]
    assert choose_direction(job(dataset, Diary()), tmp_path)[1] == probes


def test_the_probes_leave_the_backbone_as_it_was(dataset: Dataset, tmp_path: Path) -> None:
    given = job(dataset, Diary())
    before = {name: t.clone() for name, t in given.backbone.trunk().state_dict().items()}
    choose_direction(given, tmp_path)
    assert all((t == before[name]).all() for name, t in given.backbone.trunk().state_dict().items())


def test_time_that_is_too_short_for_probes_is_told(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direction, "seconds_per_epoch", lambda *given: 100.0)
    diary = Diary()
    chosen, probes = choose_direction(job(dataset, diary), tmp_path)
    assert (chosen.recipe.unfreeze, probes) == ("output", ())
    assert diary.notes == ["unfreeze: output, since time, disk or stages do not suffice to probe"]


@pytest.mark.parametrize(
    ("budget", "begun", "count"), [(600.0, False, 0), (6000.0, False, 3), (6000.0, True, 0)]
)
def test_another_budget_probes_where_the_time_was_too_short_and_no_step_has_begun(
    budget: float, begun: bool, count: int, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(direction, "seconds_per_epoch", lambda *given: 100.0)
        choose_direction(job(dataset, Diary()), tmp_path)
    if begun:
        (tmp_path / "step-4-7.safetensors").touch()
    assert len(choose_direction(job(dataset, Diary(), time_budget_s=budget), tmp_path)[1]) == count


def test_a_side_that_was_named_is_not_probed(dataset: Dataset, tmp_path: Path) -> None:
    given = job(dataset, Diary(), unfreeze="input")
    assert choose_direction(given, tmp_path) == (given, ())
    assert list(tmp_path.iterdir()) == []
