"""How often the gate errs, and passes an equal model: simulated, and added up exactly, for docs/gate.md.

`python -m benchmarks.gate_simulation` writes its tables, with --json it prints the rows and writes nothing.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgetl_runtime.accuracy import AccuracyDrop
from edgetl_runtime.planning import certified_margin, pass_chance

PAGE = Path(__file__).parents[1] / "docs" / "gate.md"
PICTURES = (200, 1_000, 5_000)
DISCORDANCES = (0.005, 0.02, 0.08)
MARGINS = (0.005, 0.02)
TIMES = 20_000
# Shares of pictures on which one alone of two exports of one model is right: up to 0.4 % was measured.
ALIKE = (0.001, 0.003, 0.005, 0.01)
ALIKE_PICTURES = (1_000, 5_000, 10_000)
_ALPHA = 0.05
_INSIDE = 0.8  # of the margin: a drop that is allowed, and near to what is not
_COLUMNS = {
    "passed at that drop": "wrongly_passed",
    "exact": "wrongly_passed_exact",
    "failed at that drop": "failed_at_the_margin",
    "failed at 0.8 of it": "failed_inside",
    "failed without": "wrongly_failed",
    "passed without": "passed",
    "exact ": "passed_exact",
}
_ALIKE_COLUMNS = {"passed": "passed", "exact": "passed_exact", "passed at 0.5 pp": "passed_at_half_a_point"}


def simulate() -> list[dict[str, Any]]:
    """Return a row for each number of pictures, discordance and margin (which no drop can exceed)."""
    rng = np.random.default_rng(2026)
    return [
        _row(rng, n, discordance, margin)
        for n in PICTURES
        for discordance in DISCORDANCES
        for margin in MARGINS
        if margin <= discordance
    ]


def _row(rng: np.random.Generator, n: int, discordance: float, margin: float) -> dict[str, Any]:
    drops = (margin, _INSIDE * margin, 0.0)
    bad, inside, equal = (_outcomes(rng, n, discordance, drop, margin) for drop in drops)
    return {
        "n": n,
        "discordance": discordance,
        "margin": margin,
        "wrongly_passed": bad["PASS"],
        "wrongly_passed_exact": pass_chance(n, discordance, margin, margin, _ALPHA),
        "failed_at_the_margin": bad["FAIL"],
        "failed_inside": inside["FAIL"],
        "wrongly_failed": equal["FAIL"],
        "passed": equal["PASS"],
        "passed_exact": pass_chance(n, discordance, 0.0, margin, _ALPHA),
    }


def _outcomes(
    rng: np.random.Generator, n: int, discordance: float, drop: float, margin: float
) -> dict[str, float]:
    """Return the share of each outcome among simulated candidates, decided by the gate's own code."""
    shares = [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance]
    lost, gained, _ = rng.multinomial(n, shares, size=TIMES).T
    pairs, counts = np.unique(np.stack([lost, gained], axis=1), axis=0, return_counts=True)
    found = {"PASS": 0, "INCONCLUSIVE": 0, "FAIL": 0}
    for (b, c), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        found[AccuracyDrop.of(b, c, n, margin, _ALPHA).outcome] += count
    return {outcome: count / TIMES for outcome, count in found.items()}


def alike() -> list[dict[str, Any]]:
    """Return a row for each discordance of equal models: the margin that suits so many pictures."""
    rng = np.random.default_rng(2027)
    rows = []
    for discordance in ALIKE:
        for n in ALIKE_PICTURES:
            margin = math.ceil(1_000 * certified_margin(n, discordance, alpha=_ALPHA, power=0.99)) / 1_000
            rows.append(
                {
                    "n": n,
                    "discordance": discordance,
                    "margin": margin,
                    "passed": _outcomes(rng, n, discordance, 0.0, margin)["PASS"],
                    "passed_exact": pass_chance(n, discordance, 0.0, margin, _ALPHA),
                    "passed_at_half_a_point": pass_chance(n, discordance, 0.0, 0.005, _ALPHA),
                }
            )
    return rows


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """Return the rows as Markdown, in percent."""
    titles = ["n", "one alone right", "margin", *columns]
    lines = ["| " + " | ".join(map(str.strip, titles)) + " |", "|" + " ---: |" * len(titles)]
    for row in rows:
        cells = [f"{row['n']:,}", f"{100 * row['discordance']:g} %", f"{100 * row['margin']:g} pp"]
        cells += [f"{100 * row[name]:.1f} %" for name in columns.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def tables(found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Return the tables of the page by their names there."""
    return {
        "simulation": table(found["simulation"], _COLUMNS),
        "alike": table(found["alike"], _ALIKE_COLUMNS),
    }


def main() -> int:
    """Simulate, and print or write."""
    found = {"simulation": simulate(), "alike": alike()}
    if "--json" in sys.argv[1:]:
        print(json.dumps(found))
        return 0
    page = PAGE.read_text(encoding="utf-8")
    for name, text in tables(found).items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}{text}{end}{rest.partition(end)[2]}"
        print(text)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
