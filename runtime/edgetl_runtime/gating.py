"""The gate: did the candidate lose accuracy against the baseline? Two receipts in, a verdict out.

Both receipts must answer for the same pictures, so the comparison is paired: only the pictures on which
exactly one of the two is right say anything. In a multi-label task right means that all labels are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.accuracy import AccuracyDrop
from edgetl_runtime.errors import InputError
from edgetl_runtime.miscalibration import calibration_drift
from edgetl_runtime.pairing import Pair, pair
from edgetl_runtime.resampling import balanced_drop
from edgetl_runtime.rules import RULES, Evidence, Limits, class_drops
from edgetl_runtime.verdict import Difference, Flip, Outcome, Rule, Verdict, worst

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.receipt import Receipt

    Column = NDArray[Any]  # integers, or bool (n, classes), as in `Predictions`

__all__ = ["Difference", "Flip", "Limits", "Outcome", "Rule", "Verdict", "gate"]

_NO_LIMITS = Limits()


def gate(
    baseline: Receipt,
    candidate: Receipt,
    *,
    margin: float = 0.005,
    alpha: float = 0.05,
    limits: Limits = _NO_LIMITS,
) -> Verdict:
    """Compare two receipts of the same pictures; the verdict is the worst of its rules.

    The first rule holds the drop of the metric against `margin`. PASS if the upper end of the drop's interval
    is at most `margin`, FAIL if the lower end is above it, INCONCLUSIVE otherwise.

    Args:
        baseline: What the candidate must not be worse than.
        candidate: What is judged.
        margin: The drop that is allowed, as a ratio: 0.005 is half a percentage point.
        alpha: The chance to pass, and to fail, a candidate whose true drop is `margin`.
        limits: What else is asked.

    Raises:
        ReceiptError: The receipts differ in task, classes, pictures or machine, or lack a figure; says which.
        InputError: A limit is out of its range, or has no meaning for this task.
    """
    _check_limits(margin, alpha)
    both = pair(baseline, candidate, across_machines=limits.across_machines)
    lost, gained = int(both.lost.sum()), int(both.gained.sum())
    accuracy = AccuracyDrop.of(lost, gained, len(both.sha256), margin, alpha)
    evidence = Evidence(
        baseline=baseline,
        candidate=candidate,
        pair=both,
        accuracy=accuracy,
        balanced=balanced_drop(both, 1 - 2 * alpha) if both.one_label else None,
        calibration=calibration_drift(both, 1 - 2 * alpha) if both.one_label else None,
        classes=class_drops(both),
    )
    found = [rule(evidence, limits) for rule in RULES]
    return _verdict(evidence, tuple(rule for rule in found if rule is not None))


def _verdict(evidence: Evidence, rules: tuple[Rule, ...]) -> Verdict:
    both, accuracy = evidence.pair, evidence.accuracy
    return Verdict(
        outcome=worst(rules).outcome,
        rules=rules,
        before=float(both.before_right.mean()),
        after=float(both.after_right.mean()),
        drop=accuracy.drop,
        interval=accuracy.interval,
        n=accuracy.n,
        lost=accuracy.lost,
        gained=accuracy.gained,
        p_value=accuracy.p_value,
        margin=accuracy.margin,
        alpha=accuracy.alpha,
        needed=accuracy.needed,
        needed_if_equal=accuracy.needed_if_equal,
        certifiable_margin=accuracy.certifiable_margin,
        balanced_drop=evidence.balanced,
        calibration_drift=evidence.calibration,
        classes=evidence.classes,
        flips=(*_flips(both, both.lost), *_flips(both, both.gained)),
    )


def _check_limits(margin: float, alpha: float) -> None:
    if not 0 < margin <= 0.5:
        raise InputError(f"margin must lie in (0, 0.5], got {margin!r}; 0.005 is half a percentage point.")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha must lie in (0, 0.5), got {alpha!r}; 0.05 is usual.")


def _flips(both: Pair, chosen: NDArray[np.bool_]) -> list[Flip]:
    """Return the chosen pictures, the candidate's most confident answers first."""
    places = np.flatnonzero(chosen)
    places = places[np.argsort(-both.confidence[places], kind="stable")]
    hashes = [value.decode() for value in both.sha256[places].tolist()]
    columns = [_labels(both.classes, some[places]) for some in (both.target, both.before, both.after)]
    return [Flip(*row) for row in zip(hashes, *columns, strict=True)]


def _labels(classes: tuple[str, ...], column: Column) -> list[str]:
    if column.ndim == 1:
        return [classes[number] for number in column.tolist()]
    names = [classes[number] for number in np.nonzero(column)[1].tolist()]
    ends = np.cumsum(column.sum(axis=1)).tolist()
    return ["|".join(names[begun:end]) for begun, end in zip([0, *ends], ends, strict=False)]
