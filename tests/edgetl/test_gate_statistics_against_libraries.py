"""The gate's statistics against scipy, statsmodels, and a likelihood maximised to fifty digits."""

import numpy as np
import pytest
from mpmath import findroot, mp, mpf, sqrt
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from edgetl_runtime.fleet import compare_fleet
from edgetl_runtime.planning import pass_chance
from edgetl_runtime.statistics import holm, mcnemar_exact, tango

from receipt_factories import tiny_predictions, tiny_receipt  # isort: skip

TABLES = [
    (12, 8, 1_000),
    (3, 0, 1_000),
    (0, 4, 500),
    (0, 0, 100),
    (30, 20, 5_000),
    (1, 7, 21),
    (150, 86, 1_600),
]


def random_tables(seed, count):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n = int(rng.integers(1, 5_000))
        b, c, _ = rng.multinomial(n, rng.dirichlet([0.5, 0.5, 2])).tolist()
        yield b, c, n


@pytest.mark.parametrize(("b", "c", "n"), list(random_tables(0, 60)))
def test_mcnemar_equals_scipy_and_statsmodels_on_random_tables(b, c, n):
    ours = mcnemar_exact(b, c)
    assert ours == pytest.approx(mcnemar([[n, b], [c, n]], exact=True).pvalue, abs=1e-9)
    assert ours == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1.0, abs=1e-9)


def score(b, c, n, difference):
    """Tango's statistic, the share of c under H0 being found as the root of its likelihood equation.

    With q the chance of c, the chance of b is q + difference: the log-likelihood's slope is zero where
    b / (q + d) + c / q = 2 (n - b - c) / (1 - 2 q - d).
    """
    low, high = max(mpf(0), -difference), (1 - difference) / 2

    def slope(q):  # multiplied by all denominators, so that it is finite at both ends
        neither = 1 - 2 * q - difference
        return (b * q + c * (q + difference)) * neither - 2 * (n - b - c) * q * (q + difference)

    edge = mpf(10) ** -40
    if c == 0 and difference >= 0 and slope(low + edge) <= 0:
        q = low  # no c seen, and the likelihood falls from the border on
    elif b == 0 and difference <= 0 and slope(low + edge) <= 0:
        q = low
    else:
        q = findroot(slope, (low + edge, high - edge), solver="anderson", tol=mpf(10) ** -60, maxsteps=500)
    return (b - c - n * difference) / sqrt(n * (2 * q + difference - difference**2))


@pytest.mark.parametrize(
    ("b", "c", "n"),
    TABLES,
)
@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.99])
def test_the_ends_of_tango_solve_the_likelihood_equations_to_many_digits(b, c, n, confidence):
    quantile, interval = norm.ppf(0.5 + confidence / 2), tango(b, c, n, confidence)
    with mp.workdps(50):
        ends = [score(mpf(b), mpf(c), mpf(n), mpf(end)) for end in (interval.low, interval.high)]
    assert float(ends[0]) == pytest.approx(quantile, abs=1e-9)
    assert float(ends[1]) == pytest.approx(-quantile, abs=1e-9)


def test_holm_equals_statsmodels():
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 50):
        p_values = rng.random(count) ** 3
        assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@pytest.mark.parametrize("discordance", [0.01, 0.3])
def test_the_chance_to_pass_adds_up_to_one_where_everything_passes(discordance):
    assert pass_chance(2_000, discordance, 0.0, 0.99) == pytest.approx(1, abs=1e-9)


def test_a_fleet_whose_dissents_never_meet_is_a_binomial_test():
    answers = np.zeros((3, 200), int)
    answers[0, :9] = 1
    answers[1, 10:12] = 1
    receipts = [tiny_receipt(tiny_predictions(np.zeros(200, int), row)) for row in answers]
    fleet = compare_fleet(receipts, ["a", "b", "c"], tolerance=0)
    assert fleet.devices[0].p_value == pytest.approx(3 * binom.sf(8, 11, 1 / 3), abs=1e-12)
