"""One step of training: the same whether one process takes it or several ranks, on whatever device."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from edgetl_factories import rows_of
from test_loop import SHAPE, TUNING, activations, step_data
from test_loop import tail as tail_with_biases
from thread_ranks import with_ranks
from torch import nn

from edgetl import tuner as module
from edgetl.ranks import here
from edgetl.synced import SyncedStatistics
from edgetl.tail import StepData, choosing_score, run_tail
from edgetl.tuner import Tuner, Tuning

TUNERS: list[Tuner] = []


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember every tuner, those of the helpers too."""
    TUNERS.clear()
    begin = Tuner.__init__

    def begin_and_tell(self: Tuner, *given: Any) -> None:
        begin(self, *given)
        TUNERS.append(self)

    monkeypatch.setattr(Tuner, "__init__", begin_and_tell)


def tail(seed: int = 0) -> nn.Sequential:
    """Leave out the biases before BatchNorm, as networks do: Adam makes steps of their gradients' noise."""
    made = tail_with_biases(seed=seed)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            layer.bias = None
    return made


def skewed() -> StepData:
    """Make data whose classes weigh differently, so that the ranks' shares do as well."""
    return replace(step_data(), weights=np.array([0.4, 1.9], np.float32))


def multi_label() -> StepData:
    data = skewed()
    targets = np.stack([data.targets, 1 - data.targets], axis=1).astype(np.float32)
    return replace(data, targets=targets, task="multi_label")


def learn(data: StepData, tuning: Tuning, batches: list[int]) -> list[float]:
    """Take a step with each of these numbers of pictures; returns the losses."""
    return losses(Tuner(tail(), data, tuning), len(data.targets), batches)


def losses(tuner: Tuner, pictures: int, batches: list[int]) -> list[float]:
    """Let a tuner take a step with each of these numbers of pictures."""
    generator = np.random.default_rng(0)
    return [
        tuner.learn(generator.choice(pictures, size, replace=False), generator, 0.5, step)
        for step, size in enumerate(batches)
    ]


def difference(one: Tuner, other: Tuner) -> float:
    """Return the largest difference of a number between the states of two tuners, where both have it."""
    first, second = one.state(), other.state()
    return max(float((first[name] - second[name]).abs().max()) for name in first.keys() & second.keys())


SETTINGS: dict[str, tuple[StepData, dict[str, Any]]] = {
    "plain": (step_data(), {}),
    "weights and smoothing": (skewed(), {"label_smoothing": 0.1}),
    "mixup and dropout": (skewed(), {"mixup": 0.5, "dropout": 0.3}),
    "several labels": (multi_label(), {"label_smoothing": 0.1, "mixup": 0.5}),
    "pull to the start": (step_data(), {"l2_sp": 0.5, "weight_decay": 0.0}),
    "frozen": (step_data(), {"frozen": ("stage3",)}),
    "moving statistics": (skewed(), {"moving_statistics": True, "mixup": 0.5}),
}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("what", SETTINGS)
def test_ranks_take_the_steps_of_one_process(what: str, size: int) -> None:
    """The last batch leaves a rank without a picture."""
    data, changes = SETTINGS[what]
    tuning, batches = replace(TUNING, **changes), [9, 8, 10, 2]
    alone = learn(data, tuning, batches)
    found, _ = with_ranks(size, lambda: learn(data, tuning, batches))
    assert found == pytest.approx(alone, abs=1e-5)
    one, *ranks = TUNERS
    assert len(ranks) == size
    assert max(difference(one, rank) for rank in ranks) < 1e-4
    assert difference(one, Tuner(tail(), data, tuning)) > 1e-3


def test_all_ranks_have_the_same_bits_after_every_step() -> None:
    with_ranks(3, lambda: learn(skewed(), replace(TUNING, dropout=0.3), [9, 8, 7, 2]))
    assert len(TUNERS) == 3
    assert all(difference(TUNERS[0], other) == 0 for other in TUNERS[1:])


def test_a_helper_joins_where_a_checkpoint_begins() -> None:
    data = skewed()
    learn(data, TUNING, [8, 8])
    saved = TUNERS[0].state()

    def go_on() -> float:
        tuner = Tuner(tail(seed=5), data, TUNING)
        tuner.restore(saved)
        return tuner.learn(np.arange(8), np.random.default_rng(7), 0.5, 2)

    alone = go_on()
    TUNERS.clear()
    assert with_ranks(2, go_on)[0] == pytest.approx(alone, abs=1e-5)
    assert difference(*TUNERS) == 0


@pytest.mark.parametrize("poisoned", [0, 7])
def test_a_loss_that_is_no_number_on_one_rank_changes_nothing_on_any(poisoned: int) -> None:
    data = step_data()
    for view in data.train:
        view.array[poisoned] = np.nan
    begun: list[float] = []

    def work() -> float:
        tuner = Tuner(tail(), data, TUNING)
        loss = tuner.learn(np.arange(8), np.random.default_rng(0), 0.5, 0)
        begun.append(difference(tuner, Tuner(tail(), data, TUNING)))
        return loss

    assert np.isnan(with_ranks(2, work)[0])
    assert begun == [0.0]
    assert difference(TUNERS[0], TUNERS[1]) == 0


class Idle(nn.Module):
    """Has a weight that takes no part in anything."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_layer_without_a_gradient_on_any_rank_has_none_afterwards() -> None:
    """AdamW would let its weights decay, which it does not in one process."""

    def work() -> torch.Tensor:
        tuner = Tuner(nn.Sequential(Idle(), *tail()), step_data(), replace(TUNING, weight_decay=0.5))
        tuner.learn(np.arange(8), np.random.default_rng(0), 1.0, 0)
        return tuner.tail[0].weight.detach()

    assert torch.equal(with_ranks(2, work)[0], torch.ones(3, 3))


def test_synced_statistics_are_those_of_the_whole_batch_and_so_is_the_gradient() -> None:
    images = torch.randn(7, 4, 3, 3, generator=torch.Generator().manual_seed(0)) + 20
    whole, own = nn.BatchNorm2d(4).train(), nn.BatchNorm2d(4).train()
    expected = images.clone().requires_grad_()
    torch.autograd.backward(whole(expected).pow(3).sum())

    def work() -> torch.Tensor:
        ranks = here()
        given = images[:5].clone().requires_grad_()
        with ranks.everywhere(Other, lambda: (images[5:],))("see"), SyncedStatistics(ranks):
            torch.autograd.backward(own(given).pow(3).sum())
        return given.grad

    gradient, _ = with_ranks(2, work)
    assert torch.allclose(gradient, expected.grad[:5], atol=1e-4)
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(own.state_dict()[name].float(), tensor.float(), atol=1e-5), name


class Other:
    """The rank that has the rest of the batch."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images = images

    def see(self) -> None:
        with SyncedStatistics(here()):
            torch.autograd.backward(nn.BatchNorm2d(4).train()(self._images.requires_grad_()).pow(3).sum())


def test_all_that_a_step_computes_with_is_on_the_device_of_the_data() -> None:
    """The device "meta" has no numbers, but refuses whatever was left elsewhere, as a GPU does."""
    data = replace(skewed(), device="meta")
    tuner = Tuner(tail(), data, replace(TUNING, mixup=0.5, dropout=0.3, label_smoothing=0.1))
    loss = tuner._loss(np.arange(8), np.random.default_rng(0))
    torch.autograd.backward(loss)
    assert loss.device.type == "meta"
    places = {
        tensor.device.type for part in (tuner.tail, tuner.average) for tensor in part.state_dict().values()
    }
    assert places == {"meta"}
    assert {one.grad.device.type for one in tuner.tail.parameters()} == {"meta"}


def test_a_tail_is_judged_on_the_device_of_the_data_and_stays_where_it_is() -> None:
    given = tail()
    with pytest.raises(NotImplementedError, match="meta"):  # Its numbers cannot be fetched: they were there.
        run_tail(given, step_data().choose, device="meta")
    assert {one.device.type for one in given.parameters()} == {"cpu"}
    assert choosing_score(given, step_data()).loss > 0


def test_a_state_lies_in_the_memory_of_the_processor() -> None:
    learn(step_data(), TUNING, [8])
    assert {tensor.device.type for tensor in TUNERS[0].state().values()} == {"cpu"}


def test_rows_without_pictures_have_their_shape() -> None:
    rows = rows_of(activations(np.arange(4) % 2, 0))
    assert module.take_views([rows], np.array([], np.int64), np.array([], np.int64)).shape == (0, *SHAPE)
