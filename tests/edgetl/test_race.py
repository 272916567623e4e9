"""The race of learning rates: who may run, for how long, and who wins."""

import numpy as np
import pytest
from edgetl_factories import rows_of
from test_loop import step_data, tail

from edgetl import race as racing
from edgetl.race import candidate_rates, lap_batches, prior_rate, race
from edgetl.tail import Diverged
from edgetl.tuner import Tuning

TUNING = Tuning(learning_rate=1.0, batch_size=8, ema=0.8)


def test_a_rate_that_learns_beats_one_that_stands_still_and_one_that_explodes() -> None:
    found = race(tail(), step_data(), TUNING, (1e-6, 0.01, 1e4), 10)
    assert found.winner == 0.01
    assert [len(one.losses) for one in found.contenders] == [2, 2, 1]
    assert [one.rate for one in found.contenders] == [1e-6, 0.01, 1e4]


def test_the_middle_rate_wins_when_pictures_cannot_tell_it_from_the_best() -> None:
    alike = race(tail(), step_data(), TUNING, (0.0099999, 0.01, 1e4), 5)
    assert alike.winner == 0.01
    far = race(tail(), step_data(), TUNING, (0.01, 1e-7, 1e4), 10)
    assert far.winner == 0.01


def test_the_same_race_is_run_again_to_the_same_bits() -> None:
    first, second = (race(tail(), step_data(), TUNING, (0.001, 0.01, 0.1), 4) for _ in range(2))
    assert first == second


def test_the_tail_that_races_is_left_as_it_was() -> None:
    given = tail()
    before = given.head.weight.clone()
    race(given, step_data(), TUNING, (0.001, 0.01, 0.1), 3)
    assert (given.head.weight == before).all()


def test_a_race_that_nobody_survives_names_the_batch_at_which_the_lowest_rate_ended() -> None:
    data = step_data()
    for view in data.train:
        view.array[:] = np.nan
    with pytest.raises(Diverged) as told:
        race(tail(), data, TUNING, (0.1, 1.0), 3)
    assert str(told.value) == (
        "No learning rate of 0.1, 1 gives finite numbers. At the lowest: The loss is nan in lap 1, "
        "batch 1 of 3. Name a lower --learning-rate."
    )


def test_a_rate_that_diverges_in_its_second_lap_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers on validation are no numbers any more, which the score refuses."""
    looks = []

    def judge(model: object, data: object) -> object:
        looks.append(model)
        if len(looks) == 4:
            raise Diverged("no finite numbers")
        return choosing(model, data)

    choosing = racing.choosing_score
    monkeypatch.setattr(racing, "choosing_score", judge)
    found = race(tail(), step_data(), TUNING, (0.01, 0.011, 1e-7), 5)
    last = [one.losses[-1] for one in found.contenders if len(one.losses) == 2]
    assert last.count(None) == 1
    assert next(one for one in found.contenders if one.rate == found.winner).losses[-1] is not None


@pytest.mark.parametrize(
    ("error", "rate"), [(0.0, 5e-4), (0.2, 5e-4), (0.3, 8.891e-4), (0.4, 1.581e-3), (0.9, 1.581e-3)]
)
def test_a_head_that_is_wrong_more_often_suggests_a_larger_rate(error: float, rate: float) -> None:
    assert prior_rate(error) == pytest.approx(rate, rel=1e-3)


def test_rates_lie_half_a_decade_apart() -> None:
    low, middle, high = candidate_rates(1e-3)
    assert (middle / low, high / middle) == pytest.approx((10**0.5, 10**0.5))


@pytest.mark.parametrize(("epochs", "pictures", "chosen"), [(20, 400, 20), (5, 1_556, 204), (100, 40, 20)])
def test_all_laps_and_looks_take_a_seventh_of_the_step_at_most(
    epochs: int, pictures: int, chosen: int
) -> None:
    data = step_data(8)
    many = type(data)(
        train=data.train,
        targets=np.zeros(pictures, np.int64),
        choose=rows_of(np.zeros((chosen, 1), np.float32)),
        choose_targets=np.zeros(chosen, np.int64),
        weights=data.weights,
        task=data.task,
    )
    batches = lap_batches(many, 16, epochs)
    price = 5 * batches + 5 * chosen / 16 / 3
    assert batches >= 3
    assert price <= 0.15 * epochs * (pictures // 16) < price + 5 + 1e-9


def test_a_step_that_is_too_short_has_no_race() -> None:
    assert lap_batches(step_data(), 8, 3) == 0
