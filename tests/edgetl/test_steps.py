"""Steps: which ones the time and the disk allow, how long they get, and what is kept of them."""

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgetl_factories import Diary, Interrupting, Killed, tiny_activations, tiny_job
from torch import Tensor

from edgetl import schedule, steps
from edgetl.events import Epoch, Step
from edgetl.head import C_GRID
from edgetl.job import Job
from edgetl.schedule import derive_epochs, keep_plan, make_plan
from edgetl.stages import Span
from edgetl.steps import Best, solve, take_step
from edgetl.tail import Diverged


class Mortal(Diary):
    """Dies after its first epoch."""

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        super().epoch(step, epoch, of)
        raise Killed


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an epoch take 100 s by the clock of the plan."""
    monkeypatch.setattr(schedule, "seconds_per_epoch", lambda *given: 100.0)


def begin(job: Job) -> Best:
    return solve(job, tiny_activations(job))[0]


def weights(job: Job, best: Best) -> dict[str, Tensor]:
    state = best.tail_at(job.backbone, 0).state_dict()
    return {name: tensor.clone() for name, tensor in state.items()}


def last(count: int) -> Span:
    return Span(4 - count, 4)


def failed(job: Job, best: Best, folder: Path, nan: bool = True) -> Step:
    """Take a step that leaves the best as it was, on activations of which a picture's may be no numbers."""
    activations = tiny_activations(job)
    if nan:
        activations["train"].boundaries[2][0].array[5] = np.nan
    taken = take_step(job, activations, best, last(2), folder)
    assert taken is not None
    assert taken[0] is best
    assert (taken[1].kept, taken[1].validation_loss) == (False, best.score.loss)
    assert len(taken[1].epochs) == (0 if nan else job.recipe.epochs)
    return taken[1]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_head_is_solved_on_the_features_of_every_view() -> None:
    job = tiny_job()
    activations = tiny_activations(job)
    best, record = solve(job, activations)
    assert (record.name, record.parameters, record.kept, record.epochs) == ("head", 8 * 2 + 2, True, ())
    assert record.reason in [f"solved with C = {c:g}" for c in C_GRID]
    assert (best.score.loss, best.cut) == (record.validation_loss, 4)
    assert best.score.accuracy > 0.8
    noise = activations["train"].features[0]
    twice = replace(activations["train"], features=(noise, replace(noise, order=noise.order[::-1].copy())))
    confused, _ = solve(job, activations | {"train": twice})
    assert confused.score.loss > best.score.loss


def test_the_gap_of_the_head_is_measured_on_the_features_of_training_pictures() -> None:
    job = tiny_job()
    activations = tiny_activations(job)
    best, record = solve(job, activations)
    assert (record.gap["n"], record.gap["validation"]) == (len(job.choose), record.accuracy)
    chosen = np.random.default_rng([0, 0]).permutation(24)[: len(job.choose)]
    with torch.no_grad():
        answers = best.head(torch.from_numpy(activations["train"].features[0].take(chosen)).float())
    right = answers.argmax(dim=1).numpy() == job.targets(job.dataset.train)[chosen]
    assert record.gap["train"] == right.mean()


def test_a_head_of_centroids_says_why() -> None:
    """Four pictures of each class, each seen twice."""
    job = tiny_job()
    few = replace(job, dataset=replace(job.dataset, train=job.dataset.train[:8]))
    activations = tiny_activations(few)
    twice = replace(activations["train"], features=activations["train"].features * 2)
    record = solve(few, activations | {"train": twice})[1]
    assert record.reason == "class centroids: the smallest class has fewer than 5 training pictures"


def test_all_steps_are_planned_where_time_and_disk_allow(tmp_path: Path) -> None:
    diary = Diary()
    job = tiny_job(diary, unfreeze=(1, 2, 4))
    assert make_plan(job, tmp_path).cuts(job) == [0, 2, 3]
    assert diary.notes == []


@pytest.mark.usefixtures("slow")
def test_a_step_that_does_not_fit_the_time_is_left_out_and_told(tmp_path: Path) -> None:
    diary = Diary()
    job = tiny_job(diary, seconds=250, unfreeze=(1, 4))
    assert make_plan(job, tmp_path).cuts(job) == []
    assert diary.notes == [
        "Left out: last stage; 3 epochs take 300 s of the time budget.",
        "Left out: all stages; 3 epochs take 300 s of the time budget.",
    ]


@pytest.mark.usefixtures("slow")
def test_fewer_epochs_that_were_asked_for_need_less_time(tmp_path: Path) -> None:
    job = tiny_job(seconds=250, unfreeze=(1,), epochs=2)
    assert make_plan(job, tmp_path).cuts(job) == [3]


# What each step of `tiny_job` needs: 24 + 16 pictures, once or twice, of 3 × 32 × 32 numbers before the first
# stage and of 8 × 4 × 4 before the last, two bytes each; the features are of 8 numbers.
FIRST, LAST, FEATURES = (2 * shape * 40 for shape in (3_072, 128, 8))


@pytest.mark.parametrize(
    ("room", "cuts"),
    [
        (FIRST + LAST + FEATURES, [0, 3]),
        (FIRST + LAST + FEATURES - 1, [3]),  # Either fits alone; the first step has the first claim.
        (LAST + FEATURES, [3]),
        (LAST + FEATURES - 1, []),
    ],
)
def test_steps_share_the_room_of_the_cache(
    room: int, cuts: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "room_bytes", lambda folder, cap: room)
    job = tiny_job(unfreeze=(1, 4))
    assert make_plan(job, tmp_path).cuts(job) == cuts


def test_every_view_of_a_training_picture_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = tiny_job(unfreeze=(4,), views="hflip")
    needed = (FIRST + FEATURES) // 40 * (2 * 24 + 16)
    for room, cuts in ((needed, [0]), (needed - 1, [])):
        monkeypatch.setattr(schedule, "room_bytes", lambda folder, cap, room=room: room)
        assert make_plan(both, tmp_path).cuts(both) == cuts


def test_steps_that_begin_at_the_same_boundary_need_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "room_bytes", lambda folder, cap: FIRST + FEATURES)
    job = tiny_job(unfreeze="input")
    assert [span.first for span in make_plan(job, tmp_path).spans(job)] == [0, 0]


def test_a_step_for_which_the_cache_has_no_room_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path))
    monkeypatch.setenv("EDGETL_CACHE_GB", "0.0001")
    diary = Diary()
    job = tiny_job(diary, unfreeze=(1, 4))
    assert make_plan(job, tmp_path).cuts(job) == [3]
    told = "its activations take 0.000 GB, the cache has room for 0.000 GB (EDGETL_CACHE_GB, free disk)"
    assert diary.notes == [f"Left out: all stages; {told}."]


def test_a_kept_plan_holds_whatever_the_clock_says_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny_job(unfreeze=(1, 2))
    keep_plan(make_plan(job, tmp_path), tmp_path)
    monkeypatch.setattr(schedule, "seconds_per_epoch", lambda *given: 1e9)
    assert make_plan(tiny_job(unfreeze=(1, 2)), tmp_path).cuts(job) == [2, 3]
    for other in ({"seed": 1}, {"time_budget_s": 599.0}):  # Another training is planned anew.
        assert make_plan(tiny_job(unfreeze=(1, 2), **other), tmp_path).cuts(job) == []


def test_a_plan_of_other_splits_is_made_anew(tmp_path: Path) -> None:
    job = tiny_job(unfreeze=(1, 2))
    keep_plan(make_plan(job, tmp_path), tmp_path)
    swapped = replace(job, dataset=replace(job.dataset, val=job.dataset.test, test=job.dataset.val))
    assert make_plan(swapped, tmp_path).key != make_plan(job, tmp_path).key


@pytest.mark.usefixtures("slow")
def test_a_kept_plan_tells_again_what_it_leaves_out(tmp_path: Path) -> None:
    first, second = Diary(), Diary()
    job = tiny_job(first, seconds=10, unfreeze=(2,))
    keep_plan(make_plan(job, tmp_path), tmp_path)
    make_plan(tiny_job(second, unfreeze=(2,)), tmp_path)
    assert first.notes == second.notes != []


@pytest.mark.parametrize(
    ("seconds", "asked", "epochs"), [(550, 10, 5), (1050, 10, 10), (350, 10, 3), (250, 2, 2), (1e6, None, 20)]
)
@pytest.mark.usefixtures("slow")
def test_a_step_gets_the_epochs_that_fit(
    seconds: float, asked: int | None, epochs: int, tmp_path: Path
) -> None:
    diary = Diary()
    job = tiny_job(diary, seconds=seconds, unfreeze=(1,), epochs=asked, patience=0)
    taken = take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    assert taken is not None
    step = taken[1]
    assert step.tuned is not None
    assert step.tuned.planned == (epochs, asked or 20)
    assert len(step.epochs) == len(diary.epochs) == epochs
    shortened = [f"Shortened to the time budget: {epochs} epochs of {asked}."]
    assert diary.notes == (shortened if epochs < (asked or 0) else [])


@pytest.mark.parametrize(("seconds", "asked"), [(250, None), (250, 10), (150, 2), (-5, 1)])
@pytest.mark.usefixtures("slow")
def test_a_step_for_which_no_time_is_left_is_left_out(
    seconds: float, asked: int | None, tmp_path: Path
) -> None:
    job = tiny_job(seconds=seconds, unfreeze=(1,), epochs=asked)
    assert take_step(job, tiny_activations(job), begin(job), last(1), tmp_path) is None
    assert list(tmp_path.iterdir()) == []  # With more time, the same call takes it.


@pytest.mark.parametrize(("pictures", "epochs"), [(1, 20), (400, 20), (800, 10), (1_000, 8), (100_000, 3)])
def test_fewer_pictures_need_more_epochs(pictures: int, epochs: int) -> None:
    assert derive_epochs(pictures) == epochs


def test_a_step_that_helps_is_adopted_by_backbone_and_head(tmp_path: Path) -> None:
    job = tiny_job(epochs=6, learning_rate=0.05)
    activations = tiny_activations(job)
    best, solved = solve(job, activations)
    before = weights(job, best)
    taken = take_step(job, activations, best, last(2), tmp_path)
    assert taken is not None
    best, step = taken
    assert (step.name, step.kept) == ("last 2 stages", True)
    assert step.validation_loss < solved.validation_loss
    assert step.parameters == 456 + 600 + 18
    assert (best.cut, best.score.loss) == (2, step.validation_loss)
    changed = {
        name.split(".")[0] for name, t in weights(job, best).items() if not torch.equal(t, before[name])
    }
    assert changed == {"stage2", "stage3", "(head)"}


def test_a_step_that_does_not_help_leaves_everything_as_it_was(tmp_path: Path) -> None:
    job = tiny_job(epochs=2, learning_rate=5.0)
    activations = tiny_activations(job)
    best = begin(job)
    taken = take_step(job, activations, best, last(2), tmp_path)
    assert taken is not None
    assert taken[0] is best
    assert not taken[1].kept


def test_the_next_step_goes_on_from_the_best(tmp_path: Path) -> None:
    job = tiny_job(epochs=4, learning_rate=0.05)
    activations = tiny_activations(job)
    best = begin(job)
    first = take_step(job, activations, best, last(1), tmp_path)
    assert first is not None
    tuned = weights(job, first[0])
    slowly = replace(job, recipe=replace(job.recipe, learning_rate=1e-7))
    second = take_step(slowly, activations, first[0], last(3), tmp_path)
    assert second is not None
    assert all(torch.allclose(t, tuned[name], atol=1e-5) for name, t in weights(job, second[0]).items())


def test_a_killed_step_goes_on_with_the_epochs_that_were_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed = Diary(), Diary()
    runs = {}
    for diary, folder in ((whole, tmp_path / "whole"), (resumed, tmp_path / "killed")):
        if diary is resumed:
            with pytest.raises(Killed):
                job = tiny_job(Mortal(), epochs=3)
                take_step(job, tiny_activations(job), begin(job), last(2), folder)
            assert json.loads((folder / "step-2-4.json").read_text())["epochs"] == 3
            monkeypatch.setattr(schedule, "seconds_per_epoch", lambda *given: 1e9)
        job = tiny_job(diary, epochs=3)
        taken = take_step(job, tiny_activations(job), begin(job), last(2), folder)
        assert taken is not None
        runs[folder.name] = weights(job, taken[0]), taken[1].validation_loss, taken[1].kept
    assert whole.epochs == [("last 2 stages", n) for n in (1, 2, 3)]
    assert resumed.epochs == whole.epochs[1:]
    assert runs["killed"][1:] == runs["whole"][1:]
    assert same(runs["killed"][0], runs["whole"][0])


@pytest.mark.usefixtures("slow")
def test_another_budget_settles_anew_a_step_that_has_not_begun(tmp_path: Path) -> None:
    """The first dies after its race, when the training begins."""
    diary, job = Diary(), tiny_job(Interrupting(Killed, "last stage, "), seconds=350, epochs=12, patience=0)
    with pytest.raises(Killed):
        take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    assert json.loads((tmp_path / "step-3-4.json").read_text())["epochs"] == 3
    job = tiny_job(diary, seconds=6000, time_budget_s=6000.0, epochs=12, patience=0)
    taken = take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    assert taken is not None
    assert taken[1].tuned is not None
    assert taken[1].tuned.planned == (12, 12)
    assert len(diary.epochs) == 12
    assert diary.notes == []


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("done", [1, 3])
def test_another_budget_leaves_a_shortened_step_that_has_begun_as_long_as_it_was_and_says_so(
    done: int, tmp_path: Path
) -> None:
    diary = Diary()
    first = tiny_job(
        Interrupting(Killed, ("last stage", done)), seconds=350, time_budget_s=350.0, epochs=12, patience=0
    )
    with pytest.raises(Killed):
        take_step(first, tiny_activations(first), begin(first), last(1), tmp_path)
    job = tiny_job(diary, seconds=6000, time_budget_s=6000.0, epochs=12, patience=0)
    taken = take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    assert taken is not None
    assert [number for _, number in diary.epochs] == [1, 2, 3][done:]
    told = "The step stays at 3 of 12 epochs, to which 350 s had shortened it; a fresh --out trains it whole."
    assert diary.notes == [told]


def test_another_budget_changes_nothing_about_a_whole_step(tmp_path: Path) -> None:
    diary, mortal = Diary(), Interrupting(Killed, ("last stage", 1))
    for watcher, budget in ((mortal, 600.0), (diary, 6000.0)):
        job = tiny_job(watcher, time_budget_s=budget, epochs=2)
        with nullcontext() if watcher is diary else pytest.raises(Killed):
            take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    assert (diary.epochs, diary.notes) == ([("last stage", 2)], [])


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 0.021}, {"decay": 2.0}])
def test_a_changed_recipe_begins_its_step_anew(change: dict[str, float], tmp_path: Path) -> None:
    job = tiny_job(Mortal(), epochs=2)
    with pytest.raises(Killed):
        take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    diary = Diary()
    other = tiny_job(diary, epochs=2, **change)
    take_step(other, tiny_activations(other), begin(other), last(1), tmp_path)
    assert [number for _, number in diary.epochs] == [1, 2]


def test_logits_of_the_joined_tail_are_those_of_backbone_and_head() -> None:
    job = tiny_job()
    best = begin(job)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = best.head(job.backbone.trunk()(images))
        found = best.tail_at(job.backbone, 2)(job.backbone.prefix(2)(images))
    assert np.array_equal(found.numpy(), expected.numpy())


def test_random_weights_get_more_epochs() -> None:
    assert [derive_epochs(pictures, from_scratch=True) for pictures in (100, 4_000, 100_000)] == [60, 16, 3]


def test_first_stages_are_trained_alone_from_the_pixels(tmp_path: Path) -> None:
    job = tiny_job(epochs=6, learning_rate=0.05, unfreeze="input")
    activations = tiny_activations(job)
    best = begin(job)
    before = weights(job, best)
    taken = take_step(job, activations, best, Span(0, 1), tmp_path)
    assert taken is not None
    best, step = taken
    assert (step.name, step.kept, best.cut) == ("first stage", True, 0)
    changed = {n.split(".")[0] for n, t in weights(job, best).items() if not torch.equal(t, before[n])}
    assert changed == {"stage0", "(head)"}
    assert step.parameters == 3 * 4 * 9 + 4 + 8 + 18


def test_a_span_behind_one_that_was_trained_sees_what_that_one_gives(tmp_path: Path) -> None:
    """The cache holds what the untrained stages gave, so the tail begins where the first trained one does."""
    job = tiny_job(epochs=6, learning_rate=0.05, unfreeze="input")
    activations = tiny_activations(job)
    first = take_step(job, activations, begin(job), Span(0, 1), tmp_path)
    assert first is not None
    before = weights(job, first[0])
    second = take_step(job, activations, first[0], Span(3, 4), tmp_path)
    assert second is not None
    assert (second[1].kept, second[0].cut) == (True, 0)
    changed = {n.split(".")[0] for n, t in weights(job, second[0]).items() if not torch.equal(t, before[n])}
    assert changed == {"stage3", "(head)"}


def test_a_step_says_how_it_was_tuned(tmp_path: Path) -> None:
    job = tiny_job(epochs=6, learning_rate=0.05)
    taken = take_step(job, tiny_activations(job), begin(job), last(2), tmp_path)
    assert taken is not None
    tuned = taken[1].tuned
    assert tuned is not None
    assert (tuned.learning_rate, tuned.race, tuned.bf16, tuned.planned) == (0.05, (), False, (6, 6))
    assert tuned.share in (0.25, 0.5, 0.75, 1.0)
    gap = taken[1].gap
    assert gap["n"] == len(job.choose)
    assert gap["low"] <= gap["train"] - gap["validation"] <= gap["high"]


def test_rates_race_when_the_recipe_leaves_them_open_and_the_winner_is_kept_for_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = Diary()
    job = tiny_job(Mortal(), epochs=40, learning_rate="auto")
    with pytest.raises(Killed):
        take_step(job, tiny_activations(job), begin(job), last(2), tmp_path)
    kept = json.loads((tmp_path / "step-2-4.json").read_text())
    assert len(kept["race"]) == 3
    assert kept["learning_rate"] in [one["rate"] for one in kept["race"]]
    monkeypatch.setattr(schedule, "race", None)  # It is not run again.
    job = tiny_job(diary, epochs=40, learning_rate="auto")
    taken = take_step(job, tiny_activations(job), begin(job), last(2), tmp_path)
    assert taken is not None
    tuned = taken[1].tuned
    assert tuned is not None
    assert (tuned.learning_rate, len(tuned.race)) == (kept["learning_rate"], 3)
    assert diary.epochs[0] == ("last 2 stages", 2)


def test_a_step_too_short_for_a_race_takes_the_prior_and_says_so(tmp_path: Path) -> None:
    diary = Diary()
    job = tiny_job(diary, epochs=3, learning_rate="auto")
    taken = take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    assert taken is not None
    assert taken[1].tuned is not None
    assert taken[1].tuned.learning_rate == pytest.approx(5e-4)
    assert diary.notes[0] == "learning rate 0.0005: the step is too short for a race"


@pytest.mark.parametrize("pays", [True, False])
def test_a_step_is_trained_in_the_precision_that_the_trial_found(
    pays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "bf16_pays", lambda *_: (pays, "tried"))
    diary = Diary()
    job = tiny_job(diary, precision="auto", epochs=1)
    taken = take_step(job, tiny_activations(job), begin(job), last(1), tmp_path)
    assert taken is not None
    assert taken[1].tuned is not None
    assert (taken[1].tuned.bf16, "tried" in diary.notes) == (pays, True)


def test_a_rate_that_explodes_stops_its_step_and_leaves_the_best(tmp_path: Path) -> None:
    job = tiny_job(epochs=3, learning_rate=10.0, decay=1.0)
    step = failed(job, begin(job), tmp_path)
    assert step.reason.startswith("The loss is nan in epoch 1, batch ")
    assert step.reason.endswith(" of 3. Lower --learning-rate (it is 10).")


def test_a_race_that_no_rate_survives_leaves_the_best_and_names_a_batch(tmp_path: Path) -> None:
    job = tiny_job(epochs=40, learning_rate="auto")
    step = failed(job, begin(job), tmp_path)
    assert re.search(r"At the lowest: The loss is nan in lap 1, batch \d of \d\. Name", step.reason)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_kept_step_is_never_worse_on_validation_and_statistics_never_move(
    rate: float, seed: int, tmp_path: Path
) -> None:
    job = tiny_job(epochs=3, learning_rate=rate, seed=seed, dropout=0.2)
    activations = tiny_activations(job)
    best = begin(job)
    before = weights(job, best)
    for count in (1, 2, 4):
        taken = take_step(job, activations, best, last(count), tmp_path)
        assert taken is not None
        after, step = taken
        if step.kept:
            assert after.score.loss < best.score.loss
        else:
            assert after is best
        best = after
    buffers = {name for name, _ in best.tail_at(job.backbone, 0).named_buffers()}
    assert len(buffers) == 12
    assert all(torch.equal(weights(job, best)[name], before[name]) for name in buffers)


def test_a_step_without_numbers_for_training_pictures_leaves_the_best_and_keeps_its_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny_job(epochs=1)
    best = begin(job)

    def diverge(*_: object) -> None:
        raise Diverged("no finite numbers")

    monkeypatch.setattr(steps, "measure_gap", diverge)
    assert failed(job, best, tmp_path, nan=False).reason == "no finite numbers"
