import itertools
import math

import numpy as np
import pytest

from edgetl_runtime.errors import InputError
from edgetl_runtime.planning import certified_margin, pass_chance, pictures_for, plan
from edgetl_runtime.statistics import corrected_tango, pictures_needed


def by_all_tables(n, discordance, drop, margin, alpha=0.05):
    """Add the chances of all tables of lost and gained that the gate itself would pass."""
    lost_share, gained_share = (discordance + drop) / 2, (discordance - drop) / 2
    total = 0.0
    for b, c in itertools.product(range(n + 1), repeat=2):
        if b + c <= n and corrected_tango(b, c, n, 1 - 2 * alpha).high <= margin:
            ways = math.comb(n, b) * math.comb(n - b, c)
            total += ways * lost_share**b * gained_share**c * (1 - discordance) ** (n - b - c)
    return total


@pytest.mark.parametrize(
    ("n", "discordance", "drop", "margin"),
    [
        (20, 0.3, 0.0, 0.2),
        (40, 0.1, 0.05, 0.1),
        (35, 0.2, -0.1, 0.05),
        (30, 0.1, 0.1, 0.1),
        (30, 1.0, 0.2, 0.4),
    ],
)
def test_the_chance_to_pass_is_the_sum_over_every_table_that_the_gate_passes(n, discordance, drop, margin):
    expected = by_all_tables(n, discordance, drop, margin)
    assert pass_chance(n, discordance, drop, margin) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected < 1


@pytest.mark.parametrize(("n", "discordance"), [(200, 0.08), (1_000, 0.02), (5_000, 0.005), (5_000, 0.08)])
def test_the_chance_to_pass_is_what_drawing_gives(n, discordance):
    b, c, _ = np.random.default_rng(0).multinomial(n, [discordance / 2] * 2 + [1 - discordance], 4_000).T
    pairs = list(zip(b.tolist(), c.tolist(), strict=True))
    passed = {pair: corrected_tango(*pair, n, 0.9).high <= 0.01 for pair in set(pairs)}
    share = np.mean([passed[pair] for pair in pairs])
    assert pass_chance(n, discordance, 0.0, 0.01) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("discordance", [0.005, 0.02, 0.08])
def test_so_many_pictures_are_enough_and_clearly_fewer_are_not(discordance):
    n = pictures_for(discordance, 0.01)
    assert pass_chance(n, discordance, 0.0, 0.01) >= 0.8
    assert pass_chance(int(0.8 * n), discordance, 0.0, 0.01) < 0.8
    assert n >= 0.99 * pictures_needed(discordance, 0.01)


def test_where_flips_are_many_the_approximation_is_exact_enough():
    n = pictures_needed(0.08, 0.005)
    assert pass_chance(n, 0.08, 0.0, 0.005) == pytest.approx(0.8, abs=0.005)
    assert pictures_for(0.08, 0.001) == pictures_needed(0.08, 0.001)


def test_without_flips_the_gates_own_bound_is_the_plan():
    assert pictures_for(0.0, 0.005) == 598
    assert certified_margin(598, 0.0) == pytest.approx(0.005, abs=5e-5)


def test_the_margin_that_pictures_certify_is_the_one_that_needs_them():
    margin = certified_margin(2_000, 0.02)
    assert pass_chance(2_000, 0.02, 0.0, margin) >= 0.8 > pass_chance(2_000, 0.02, 0.0, margin - 1e-4)
    assert certified_margin(200_000, 0.08) == pytest.approx(
        certified_margin(30_000, 0.08) * (30 / 200) ** 0.5, rel=0.02
    )


def test_a_plan_has_a_row_for_each_discordance():
    found = plan([0.01, 0.02], margin=0.01, n=1_000)
    assert [row.discordance for row in found.rows] == [0.01, 0.02]
    assert found.rows[0].pictures < found.rows[1].pictures
    assert found.rows[0].chance == pass_chance(1_000, 0.01, 0.0, 0.01)
    assert plan([0.01]).rows[0].chance is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop": 0.005}, r"drop must be below margin=0\.005, or nothing can pass; got 0\.005"),
        ({"n": 0}, "n must be at least 1 picture, got 0"),
        ({"margin": 0.0, "drop": -0.1}, r"margin must be a share in \(0, 1\]"),
        ({"power": 1.0}, "power in"),
    ],
)
def test_impossible_plans_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        plan([0.2], **arguments)
    with pytest.raises(InputError, match=r"no less than the drop; got 0\.01 and 0\.02"):
        pass_chance(100, 0.01, 0.02, 0.05)
