"""A step of fine-tuning: what moves, what stays, and that an interruption leaves no trace."""

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from edgetl_factories import Killed, rows_of, tiny_backbone
from torch import Tensor, nn

from edgetl.checkpoint import Slot
from edgetl.events import Epoch
from edgetl.loop import Result, finetune, out_of_patience
from edgetl.tail import Diverged, StepData, choosing_score, evaluate, freeze, run_tail, seconds_per_epoch
from edgetl.tuner import Tuning, learning_rate_factor, parameter_groups

CUT, SHAPE = 2, (6, 8, 8)
TUNING = Tuning(batch_size=8, learning_rate=0.02, ema=0.8)


@dataclass(slots=True)
class KillAfter:
    """Raises once this epoch is done, as a power cut would."""

    number: int

    def __call__(self, epoch: Epoch) -> None:
        if epoch.number == self.number:
            raise Killed


def ignore(epoch: Epoch) -> None:
    """Hear of an epoch and go on."""


def tail(classes: int = 2, seed: int = 0) -> nn.Sequential:
    backbone = tiny_backbone(seed)
    torch.manual_seed(seed)
    head = nn.Linear(backbone.width, classes)
    stages = [(stage.name, stage.module) for stage in backbone.stages[CUT:]]
    return nn.Sequential(OrderedDict([*stages, ("head", head)]))


def activations(targets: np.ndarray, seed: int) -> np.ndarray:
    """Draw activations that are larger in the first channel, by turns, for the second class."""
    drawn = np.random.default_rng(seed).normal(0, 1, (len(targets), *SHAPE))
    drawn[:, 0] += 1.5 * targets[:, None, None]
    return drawn.astype(np.float32)


def step_data(n: int = 40, views: int = 2) -> StepData:
    targets, choose = np.arange(n) % 2, np.arange(20) % 2
    return StepData(
        train=tuple(rows_of(activations(targets, seed)) for seed in range(views)),
        targets=targets,
        choose=rows_of(activations(choose, 77)),
        choose_targets=choose,
        weights=np.ones(2, np.float32),
        task="single_label",
    )


def take(
    tmp_path: Path, epochs: int = 3, *, tuning: Tuning = TUNING, data: StepData | None = None, killed: int = 0
) -> Result:
    """Fine-tune with a slot of this folder; `killed` names the epoch after which the process dies."""
    on_epoch = KillAfter(killed) if killed else ignore
    slot = Slot(tmp_path, "step-2")
    return finetune(tail(), data or step_data(), tuning, epochs, slot=slot, key="mine", on_epoch=on_epoch)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_buffers_of_batchnorm_never_move_and_every_weight_does(tmp_path: Path) -> None:
    before, after = state(tail()), state(take(tmp_path).tail)
    buffers = {name for name, _ in tail().named_buffers()}
    assert len(buffers) == 6
    assert any(before[name].std() > 0 for name in buffers if name.endswith("running_var"))
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) is (name in buffers), name


def test_the_given_tail_is_left_as_it_was(tmp_path: Path) -> None:
    given = tail()
    before = state(given)
    finetune(given, step_data(), TUNING, 1, slot=Slot(tmp_path, "s"), key="k", on_epoch=ignore)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(given).items())


def test_the_loss_falls_on_a_problem_that_can_be_learned(tmp_path: Path) -> None:
    before = evaluate(tail(), step_data().choose, step_data().choose_targets, step_data())
    result = take(tmp_path, epochs=8)
    assert before.loss > 0.6
    assert result.score.loss < 0.1
    assert result.score.accuracy == 1.0
    assert result.epochs[-1].loss < result.epochs[0].loss / 3
    assert [epoch.number for epoch in result.epochs] == list(range(1, 9))


def misleading() -> StepData:
    """Make data whose training labels are half wrong: after a while, learning them makes answers worse."""
    data = step_data()
    return replace(data, targets=np.where(np.arange(40) % 5 < 2, 1 - data.targets, data.targets))


def test_the_result_is_the_best_epoch_and_scored_as_it(tmp_path: Path) -> None:
    data = misleading()
    result = take(tmp_path, 6, data=data)
    losses = [epoch.validation_loss for epoch in result.epochs]
    assert losses.index(min(losses)) < 5
    assert result.score.loss == min(losses)
    assert evaluate(result.tail, data.choose, data.choose_targets, data).loss == min(losses)


def test_a_step_ends_when_its_patience_does(tmp_path: Path) -> None:
    data = misleading()
    endless = take(tmp_path / "a", 12, data=data)
    losses = [epoch.validation_loss for epoch in endless.epochs]
    hasty = take(tmp_path / "b", 12, data=data, tuning=replace(TUNING, patience=2))
    best = losses.index(min(losses[: len(hasty.epochs)])) + 1
    assert len(hasty.epochs) == best + 2 < 12
    assert hasty.stopped == f"no better since epoch {best}"
    assert hasty.score.loss == losses[best - 1]
    again = take(tmp_path / "b", 12, data=data, tuning=replace(TUNING, patience=2))
    assert (again.epochs, again.stopped) == (hasty.epochs, hasty.stopped)
    assert endless.stopped == ""


def ends_with_its_patience(folder: Path, count: int, patience: int) -> bool:
    done = take(folder, count, data=misleading()).epochs
    runs_out = [bool(out_of_patience(done[:seen], patience)) for seen in range(1, count + 1)]
    return runs_out.index(True) == count - 1 if any(runs_out) else False


def test_patience_that_ends_with_the_last_epoch_stopped_nothing_before_and_after_a_restart(
    tmp_path: Path,
) -> None:
    data, tuning = misleading(), replace(TUNING, patience=2)
    ended = next(count for count in range(3, 20) if ends_with_its_patience(tmp_path / str(count), count, 2))
    whole = take(tmp_path / "b", ended, data=data, tuning=tuning)
    again = take(tmp_path / "b", ended, data=data, tuning=tuning)
    assert len(whole.epochs) == len(again.epochs) == ended
    assert (whole.stopped, again.stopped) == ("", "")


def test_patience_counts_from_the_best_epoch() -> None:
    done = [Epoch(n, 0.0, 0.0, loss, 0.0, 0.0) for n, loss in enumerate([0.5, 0.3, 0.4, 0.35], 1)]
    assert out_of_patience(done, 2) == "no better since epoch 2"
    assert out_of_patience(done, 3) == out_of_patience(done, 0) == out_of_patience([], 1) == ""


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    first, second = take(tmp_path / "a"), take(tmp_path / "b")
    other = take(tmp_path / "c", tuning=replace(TUNING, seed=1))
    assert all(torch.equal(t, state(second.tail)[name]) for name, t in state(first.tail).items())
    assert not torch.equal(first.tail.head.weight, other.tail.head.weight)


@pytest.mark.parametrize("killed", [1, 2, 3])
def test_a_killed_step_goes_on_to_the_same_bits(killed: int, tmp_path: Path) -> None:
    whole = take(tmp_path / "whole")
    with pytest.raises(Killed):
        take(tmp_path / "killed", killed=killed)
    heard: list[int] = []
    resumed = finetune(
        tail(seed=5),  # Whatever it is given: the checkpoint says what the weights are.
        step_data(),
        TUNING,
        3,
        slot=Slot(tmp_path / "killed", "step-2"),
        key="mine",
        on_epoch=lambda epoch: heard.append(epoch.number),
    )
    assert heard == list(range(killed + 1, 4))
    assert all(torch.equal(t, state(whole.tail)[name]) for name, t in state(resumed.tail).items())
    assert resumed.score.loss == whole.score.loss
    assert [replace(epoch, seconds=0) for epoch in resumed.epochs] == [
        replace(epoch, seconds=0) for epoch in whole.epochs
    ]


def test_a_checkpoint_of_another_training_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        take(tmp_path, killed=2)
    heard: list[int] = []
    finetune(
        tail(),
        step_data(),
        TUNING,
        3,
        slot=Slot(tmp_path, "step-2"),
        key="other",
        on_epoch=lambda epoch: heard.append(epoch.number),
    )
    assert heard == [1, 2, 3]


def poisoned() -> StepData:
    """Make data in which one training picture is no number in any view."""
    data = step_data()
    data.train[0].array[7] = np.nan
    data.train[1].array[7] = np.nan
    return data


def test_a_loss_that_is_no_number_names_its_epoch_and_batch_and_changes_nothing(tmp_path: Path) -> None:
    order = np.random.default_rng([0, 3, 1]).permutation(40)
    batch = 1 + order.tolist().index(7) // 8
    result = take(tmp_path, data=poisoned())
    assert result.stopped == (
        f"The loss is nan in epoch 1, batch {batch} of 5. Lower --learning-rate (it is 0.02)."
    )
    assert result.epochs == ()
    assert all(torch.equal(t, state(tail())[name]) for name, t in state(result.tail).items())


def test_what_was_best_before_a_loss_that_is_no_number_is_the_result(tmp_path: Path) -> None:
    good = take(tmp_path / "good", 3, killed=0)
    with pytest.raises(Killed):
        take(tmp_path / "bad", 3, killed=1)
    result = take(tmp_path / "bad", 3, data=poisoned())
    assert [epoch.number for epoch in result.epochs] == [1]
    assert result.stopped.startswith("The loss is nan in epoch 2, batch ")
    assert result.score.loss == good.epochs[0].validation_loss


def test_answers_on_validation_that_are_no_numbers_stop_the_step_and_save_nothing(tmp_path: Path) -> None:
    data = step_data()
    data.choose.array[3] = np.nan
    with pytest.raises(Diverged, match="no finite numbers any more"):
        take(tmp_path, data=data)
    assert list(tmp_path.iterdir()) == []


def test_answers_that_are_no_numbers_are_not_scored() -> None:
    broken = tail()
    with torch.no_grad():
        broken.head.bias[0] = torch.inf
    with pytest.raises(Diverged, match="no finite numbers any more"):
        evaluate(broken, step_data().choose, step_data().choose_targets, step_data())


def test_a_step_without_epochs_is_the_tail_it_was_given(tmp_path: Path) -> None:
    result = take(tmp_path, epochs=0)
    assert result.epochs == ()
    assert torch.equal(result.tail.head.weight, tail().head.weight)


def test_fewer_pictures_than_a_batch_are_one_batch(tmp_path: Path) -> None:
    result = take(tmp_path, 1, data=step_data(n=6))
    assert not torch.equal(result.tail.head.weight, tail().head.weight)


class Witness(nn.Module):
    """Passes on what comes in, and remembers the mean of each picture."""

    seen: ClassVar[list[list[float]]] = []

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == TUNING.batch_size:
            self.seen.append(x.mean((1, 2, 3)).tolist())
        return x


def test_views_are_drawn_picture_by_picture_and_epoch_by_epoch(tmp_path: Path) -> None:
    views = tuple(rows_of(np.full((40, *SHAPE), view, np.float32)) for view in range(3))
    watched = nn.Sequential(Witness(), *tail())
    Witness.seen.clear()
    slot = Slot(tmp_path, "s")
    finetune(watched, replace(step_data(), train=views), TUNING, 2, slot=slot, key="k", on_epoch=ignore)
    assert len(Witness.seen) == 2 * 5
    assert all(len(set(batch)) > 1 for batch in Witness.seen)
    drawn = [view for batch in Witness.seen for view in batch]
    assert set(drawn) == {0, 1, 2}
    assert drawn[:40] != drawn[40:]


def test_several_labels_are_trained_as_well(tmp_path: Path) -> None:
    data = step_data()
    both = replace(
        data,
        targets=np.stack([data.targets, 1 - data.targets], axis=1).astype(np.float32),
        choose_targets=np.stack([data.choose_targets, 1 - data.choose_targets], axis=1).astype(np.float32),
        task="multi_label",
    )
    assert take(tmp_path, 6, data=both).score.accuracy == 1.0


def test_the_rate_decays_from_the_last_stage_toward_the_input() -> None:
    backbone = tiny_backbone()
    modules = nn.Sequential(*(stage.module for stage in backbone.stages), nn.Linear(8, 2))
    groups = parameter_groups(modules, Tuning(learning_rate=0.1, decay=2.0))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    found = [{rates[id(p)] for p in module.parameters()} for module in modules]
    assert found == [{0.1 / 8}, {0.1 / 4}, {0.1 / 2}, {0.1}, {0.1}]
    assert len(rates) == len(list(modules.parameters()))


def test_vectors_do_not_decay() -> None:
    groups = parameter_groups(tail(), Tuning(learning_rate=0.1, weight_decay=0.3))
    decays = {(p.ndim > 1, group["weight_decay"]) for group in groups for p in group["params"]}
    assert decays == {(True, 0.3), (False, 0.0)}


def test_stages_without_parameters_make_no_group() -> None:
    modules = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    groups = parameter_groups(modules, Tuning(learning_rate=0.1, decay=2.0))
    assert [group["lr"] for group in groups] == [0.05, 0.05, 0.1, 0.1]


def test_the_rates_follow_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    class Watched(torch.optim.AdamW):
        def step(self) -> None:
            seen.append([group["lr"] for group in self.param_groups])
            super().step()

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    take(tmp_path, 2)
    full = [group["lr"] for group in parameter_groups(tail(), TUNING)]
    factors = [learning_rate_factor(step, 10, TUNING.warmup) for step in range(10)]
    assert seen == [[rate * factor for rate in full] for factor in factors]


def test_the_schedule_rises_in_a_line_and_falls_as_a_cosine() -> None:
    factors = np.array([learning_rate_factor(step, 100, 0.2) for step in range(101)])
    assert factors[:20] == pytest.approx(np.arange(1, 21) / 21)
    assert factors[20] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert (np.diff(factors[20:]) < 0).all()
    assert factors[40] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 0.9), (2, 0.5), (3, 0.1), (7, 0.9)])
def test_the_schedule_stays_between_zero_and_one_and_never_wastes_its_first_step(
    steps: int, warmup: float
) -> None:
    factors = [learning_rate_factor(step, steps, warmup) for step in range(steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0


def test_logits_do_not_depend_on_the_batch() -> None:
    rows = step_data().choose
    whole = run_tail(tail(), rows)
    assert whole.shape == (20, 2)
    assert np.allclose(run_tail(tail(), rows, batch=3), whole, atol=1e-6)


def test_an_epoch_of_more_pictures_takes_longer_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.cumsum([0, 3, 0, 2, 0, 5]).tolist())
    monkeypatch.setattr("edgetl.tail.time.monotonic", lambda: next(clock))
    assert seconds_per_epoch(tail(), SHAPE, 40) == 2 * 40 / 8


def test_a_smaller_batch_than_that_of_the_trial_is_timed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.cumsum([0, 3, 0, 2, 0, 5]).tolist())
    monkeypatch.setattr("edgetl.tail.time.monotonic", lambda: next(clock))
    assert seconds_per_epoch(tail(), SHAPE, 40, batch_size=4) == 2 * 40 / 4


@pytest.mark.parametrize("frozen", [("stage2",), ("stage3",), ("stage2", "stage3")])
def test_what_is_frozen_never_moves_and_everything_else_does(frozen: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever regularizes: dropout, mixup, the pull to the start and decay are all on."""
    regular = replace(TUNING, frozen=frozen, dropout=0.3, mixup=0.4, l2_sp=0.1, weight_decay=0.5)
    before, after = state(tail()), state(take(tmp_path, tuning=regular).tail)
    buffers = {name for name, _ in tail().named_buffers()}
    for name, tensor in before.items():
        still = name in buffers or name.split(".")[0] in frozen
        assert torch.equal(tensor, after[name]) is still, name


def test_the_last_trained_stage_has_the_full_rate_when_those_behind_it_are_frozen() -> None:
    modules = tail()
    freeze(modules, ("stage3",))
    groups = parameter_groups(modules, Tuning(learning_rate=0.1, decay=2.0))
    assert {group["lr"] for group in groups} == {0.1}


def test_random_weights_let_the_statistics_of_batchnorm_move(tmp_path: Path) -> None:
    before = state(tail())
    after = state(take(tmp_path, tuning=replace(TUNING, moving_statistics=True)).tail)
    means = [name for name in before if name.endswith("running_mean")]
    assert len(means) == 2
    assert not any(torch.equal(before[name], after[name]) for name in means)


@pytest.mark.parametrize(
    "change", [{"dropout": 0.5}, {"mixup": 0.5}, {"l2_sp": 1.0}, {"label_smoothing": 0.2}, {"bf16": True}]
)
def test_every_setting_changes_the_weights_and_repeats_them_after_a_kill(
    change: dict[str, float], tmp_path: Path
) -> None:
    plain, tuning = take(tmp_path / "plain"), replace(TUNING, **change)
    whole = take(tmp_path / "whole", tuning=tuning)
    assert not torch.equal(plain.tail.head.weight, whole.tail.head.weight)
    with pytest.raises(Killed):
        take(tmp_path / "killed", tuning=tuning, killed=2)
    resumed = take(tmp_path / "killed", tuning=tuning)
    assert all(torch.equal(t, state(whole.tail)[name]) for name, t in state(resumed.tail).items())


def test_the_pull_to_the_start_holds_weights_near_it(tmp_path: Path) -> None:
    start = tail().stage2[0].weight.detach()

    def distance(strength: float) -> float:
        result = take(tmp_path / str(strength), 6, tuning=replace(TUNING, l2_sp=strength))
        return float((result.tail.stage2[0].weight.detach() - start).norm())

    assert distance(10.0) < 0.7 * distance(0.0)


def test_dropout_drops_nothing_when_answers_are_judged(tmp_path: Path) -> None:
    result = take(tmp_path, 1, tuning=replace(TUNING, dropout=0.9))
    scores = {choosing_score(result.tail, step_data()).loss for _ in range(3)}
    assert scores == {result.score.loss}
