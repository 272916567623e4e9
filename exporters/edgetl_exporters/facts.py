"""What was measured of a variant before it was written, as JSON for the manifest.

No times and no machines: a bundle that is made twice must be the same bundle. Times are in the report.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetl_exporters.contract import Comparison
from edgetl_exporters.measure import Judged, agreeing
from edgetl_exporters.rejecting import Rejecting
from edgetl_exporters.report import RungRow
from edgetl_runtime.metrics import expected_calibration_error
from edgetl_runtime.statistics import Interval, wilson

# Pictures that change their answer are named up to here; `count` has them all.
_MOST_NAMED = 100


def contract_facts(
    reference: Judged, judged: Judged, compared: Comparison, sha256: Sequence[str]
) -> dict[str, Any]:
    """Compare a variant with the float model; `sha256` names the verifying pictures, or is empty."""
    found, same = judged.accuracy, agreeing(reference, judged)
    changed = np.flatnonzero(~same).tolist()
    return {
        "n": compared.n,
        "accuracy": {"value": found.value, "low": found.low, "high": found.high},
        "balanced_accuracy": judged.balanced_accuracy,
        "drop": compared.drop,
        "drop_interval_90": _ends(compared.interval),
        "limit": compared.limit,
        "lost": compared.lost,
        "gained": compared.gained,
        "agreement": float(same.mean()),
        "agreement_interval_95": _ends(wilson(int(same.sum()), len(same))),
        "changed": {
            "count": len(changed),
            "sha256": [sha256[place] for place in changed[:_MOST_NAMED]] if sha256 else None,
        },
        "largest_logit_difference": rounded(float(np.abs(judged.logits - reference.logits).max())),
        "calibration_error": calibration_error(judged),
        "certified": compared.certified,
        "needs": compared.needs,
    }


def calibration_error(judged: Judged) -> dict[str, float] | None:
    """Return the expected calibration error without temperature and with it; None for several labels."""
    if judged.balanced_accuracy is None:
        return None
    return {
        name: rounded(expected_calibration_error(judged.correct, judged.confidence(temperature)).value)
        for name, temperature in (("before", 1.0), ("after", judged.temperature))
    }


def rung_facts(row: RungRow) -> dict[str, Any]:
    """Return a rung's line: what it was worth on the choosing pictures, and what became of it."""
    return {
        "rung": row.rung,
        "n": row.n,
        "accuracy": row.accuracy.value,
        "balanced_accuracy": row.balanced_accuracy,
        "drop": row.drop,
        "loss": rounded(row.loss),
        "agreement": {"low": row.agreement.low, "high": row.agreement.high},
        "passes": row.passes,
        "verified": row.verified,
        "outcome": row.outcome,
    }


def rejecting_facts(found: Rejecting) -> dict[str, Any]:
    """Return what a threshold of confidence is worth on the verifying pictures."""
    return {
        "wanted_precision": found.wanted,
        "n": found.n,
        "answered": found.answered,
        "right": found.right,
        "coverage_interval_95": _ends(found.coverage),
        "precision_interval_95": None if found.precision is None else _ends(found.precision),
        "certified": found.certified,
    }


def rounded(number: float) -> float:
    """Return a number to six digits, so that the manifest does not depend on the last bits."""
    return float(f"{number:.6g}")


def _ends(interval: Interval) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high}
