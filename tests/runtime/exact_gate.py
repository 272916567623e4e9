"""The exact chance of each outcome of the gate: all tables of flips, each decided by the gate's own code."""

import numpy as np

from edgetl_runtime.accuracy import AccuracyDrop

_TAILS = 8  # standard deviations of the number of flips that are added up


def exact_chances(n, discordance, drop, margin, alpha=0.05):
    """Return the chance of each outcome for a candidate whose true drop and discordance are these.

    Flips come binomially, and split binomially into lost and gained. Of so many flips those with few lost
    pass and those with many fail.
    """
    spread = _TAILS * (n * discordance) ** 0.5 + 12
    fewest, most = max(0, int(n * discordance - spread)), min(n, int(n * discordance + spread))
    share = (discordance + drop) / (2 * discordance)
    passed = failed = 0.0
    for flips in range(fewest, most + 1):
        weight = _binomial(n, np.array([flips]), discordance)[0]
        chances = _binomial(flips, np.arange(flips + 1), share)
        passed += weight * chances[: _first(flips, n, margin, alpha, ("INCONCLUSIVE", "FAIL"))].sum()
        failed += weight * chances[_first(flips, n, margin, alpha, ("FAIL",)) :].sum()
    return {"PASS": passed, "INCONCLUSIVE": 1 - passed - failed, "FAIL": failed}


def _first(flips, n, margin, alpha, outcomes):
    """Return the fewest lost of so many flips that give one of the outcomes; one more than all if none do."""
    low, high = -1, flips + 1
    while high - low > 1:
        lost = (low + high) // 2
        found = AccuracyDrop.of(lost, flips - lost, n, margin, alpha).outcome
        low, high = (low, lost) if found in outcomes else (lost, high)
    return high


def _binomial(n, k, share):
    if share >= 1:
        return (k == n).astype(float)
    log = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    return np.exp(log[n] - log[k] - log[n - k] + k * np.log(share) + (n - k) * np.log1p(-share))
