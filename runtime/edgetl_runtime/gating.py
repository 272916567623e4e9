"""The gate: did the candidate lose accuracy against the baseline? Two receipts in, a verdict out.

Both receipts must answer for the same pictures, so the comparison is paired: only the pictures on which
exactly one of the two is right say anything. In a multi-label task right means that all labels are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.errors import InputError, ReceiptError
from edgetl_runtime.statistics import Interval, certifiable_margin, mcnemar_exact, pictures_needed, tango
from edgetl_runtime.verdict import Difference, Flip, Outcome, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.receipt import Receipt

    Bools = NDArray[np.bool_]
    Column = NDArray[Any]  # integers or bool, as in `Predictions`

__all__ = ["Difference", "Flip", "Outcome", "Verdict", "gate"]

MAX_NEEDED = 10_000_000  # No test set is larger: a greater number means that pictures will not decide.
RESAMPLES = 2_000
_SEED = 20_261
_DRAWS_AT_ONCE = 2_000_000


def gate(baseline: Receipt, candidate: Receipt, *, margin: float = 0.005, alpha: float = 0.05) -> Verdict:
    """Compare two receipts of the same pictures.

    PASS if the upper end of the drop's interval is at most `margin`. FAIL if the lower end is above it, or if
    the drop is and McNemar's test rejects chance. INCONCLUSIVE otherwise.

    Args:
        baseline: What the candidate must not be worse than.
        candidate: What is judged.
        margin: The drop of accuracy that is allowed, as a ratio: 0.005 is half a percentage point.
        alpha: The chance to pass a candidate whose true drop is `margin`.

    Raises:
        ReceiptError: The receipts differ in task, classes or pictures; says how.
    """
    _check_limits(margin, alpha)
    pair = _pair(baseline, candidate)
    n, lost, gained = len(pair.sha256), int(pair.lost.sum()), int(pair.gained.sum())
    drop, p_value = (lost - gained) / n, mcnemar_exact(lost, gained)
    interval = tango(lost, gained, n, 1 - 2 * alpha)
    outcome = _decide(drop, interval, p_value, margin, alpha)
    undecided = outcome == "INCONCLUSIVE"
    return Verdict(
        outcome=outcome,
        before=float(pair.before_right.mean()),
        after=float(pair.after_right.mean()),
        drop=drop,
        interval=interval,
        n=n,
        lost=lost,
        gained=gained,
        p_value=p_value,
        margin=margin,
        alpha=alpha,
        needed=_needed(lost, gained, n, margin, alpha) if undecided else None,
        needed_if_equal=_needed_if_equal(lost, gained, n, margin, alpha) if undecided else None,
        certifiable_margin=certifiable_margin((lost + gained) / n, n, alpha),
        balanced_drop=_balanced_drop(pair, 1 - 2 * alpha) if pair.target.ndim == 1 else None,
        flips=(*_flips(pair, pair.lost), *_flips(pair, pair.gained)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Two receipts' columns in one order of pictures. sha256: (n,) bytes; the others as in `Predictions`."""

    classes: tuple[str, ...]
    sha256: NDArray[np.bytes_]
    target: Column
    before: Column
    after: Column
    before_right: Bools
    after_right: Bools
    confidence: Column

    @property
    def lost(self) -> Bools:
        return self.before_right & ~self.after_right

    @property
    def gained(self) -> Bools:
        return self.after_right & ~self.before_right


def _check_limits(margin: float, alpha: float) -> None:
    if not 0 < margin <= 0.5:
        raise InputError(f"margin must lie in (0, 0.5], got {margin!r}; 0.005 is half a percentage point.")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha must lie in (0, 0.5), got {alpha!r}; 0.05 is usual.")


def _decide(drop: float, interval: Interval, p_value: float, margin: float, alpha: float) -> Outcome:
    if interval.high <= margin:
        return "PASS"
    if interval.low > margin or (drop > margin and p_value < alpha):
        return "FAIL"
    return "INCONCLUSIVE"


def _needed(lost: int, gained: int, n: int, margin: float, alpha: float) -> int | None:
    """Return the pictures that would decide at the observed rates; a gain is not counted on."""
    drop = max(0.0, (lost - gained) / n)
    if drop == margin:
        return None
    needed = pictures_needed((lost + gained) / n, margin, drop, alpha)
    return needed if needed <= MAX_NEEDED else None


def _needed_if_equal(lost: int, gained: int, n: int, margin: float, alpha: float) -> int | None:
    """Return the pictures that would pass a candidate without a true drop, where that is another number."""
    needed = pictures_needed((lost + gained) / n, margin, 0.0, alpha)
    return needed if n < needed <= MAX_NEEDED and lost > gained else None


def _pair(baseline: Receipt, candidate: Receipt) -> _Pair:
    """Bring two receipts into one order, or say everything in which they differ."""
    complaints = _different_questions(baseline, candidate)
    before, after = baseline.predictions, candidate.predictions
    hashes = [np.array(side.sha256, "S64") for side in (before, after)]
    here, there = (np.argsort(column) for column in hashes)
    sha256 = hashes[0][here]
    if not np.array_equal(sha256, hashes[1][there]):
        complaints += _different_pictures(*hashes)
    if not complaints:
        moved = np.count_nonzero(np.any(_rows(before.target[here] != after.target[there]), axis=1))
        complaints += [f"pictures with another target: {moved:,}"] if moved else []
    if complaints:
        raise ReceiptError(
            f"The receipts cannot be compared: {'; '.join(complaints)}. "
            "Run validate for both bundles on the same dataset and split."
        )
    return _Pair(
        classes=baseline.classes,
        sha256=sha256,
        target=before.target[here],
        before=before.predicted[here],
        after=after.predicted[there],
        before_right=before.right[here],
        after_right=after.right[there],
        confidence=after.confidence[there],
    )


def _different_questions(baseline: Receipt, candidate: Receipt) -> list[str]:
    if baseline.task != candidate.task:
        return [f"the task of the baseline is {baseline.task}, of the candidate {candidate.task}"]
    if baseline.classes == candidate.classes:
        return []
    first, second = set(baseline.classes), set(candidate.classes)
    if first == second:
        return ["the classes are in another order"]
    return [
        f"the classes differ: {sorted(some)[:5]} only in the {side}"
        for side, some in (("baseline", first - second), ("candidate", second - first))
        if some
    ]


def _different_pictures(before: NDArray[np.bytes_], after: NDArray[np.bytes_]) -> list[str]:
    complaints = []
    for side, some, others in (("baseline", before, after), ("candidate", after, before)):
        alone = np.setdiff1d(some, others, assume_unique=True)
        if len(alone):
            complaints.append(
                f"pictures only in the {side}: {len(alone):,}, such as {alone[0].decode()[:12]}"
            )
    return complaints


def _rows(column: Column) -> Column:
    return column.reshape(len(column), -1)


def _balanced_drop(pair: _Pair, confidence: float) -> Difference:
    """Return the drop of balanced accuracy with the percentile interval of a paired, stratified bootstrap.

    A picture enters only as lost, gained or neither within its class, so drawing pictures with replacement is
    drawing these three counts: one multinomial per class instead of a hundred thousand indices.
    """
    counts = [
        np.bincount(pair.target[some], minlength=len(pair.classes)) for some in (pair.lost, pair.gained)
    ]
    size = np.bincount(pair.target, minlength=len(pair.classes))
    lost, gained, size = (column[size > 0] for column in (*counts, size))
    shares = np.stack([lost, gained, size - lost - gained], axis=1) / size[:, None]
    rng = np.random.default_rng(_SEED)
    at_once = max(1, _DRAWS_AT_ONCE // shares.size)
    drops = []
    for start in range(0, RESAMPLES, at_once):
        drawn = rng.multinomial(size, shares, size=(min(at_once, RESAMPLES - start), len(size)))
        drops.append(np.mean((drawn[..., 0] - drawn[..., 1]) / size, axis=1))
    low, high = np.quantile(np.concatenate(drops), [(1 - confidence) / 2, (1 + confidence) / 2])
    value = float(np.mean((lost - gained) / size))
    return Difference(value, Interval(min(value, float(low)), max(value, float(high))))


def _flips(pair: _Pair, chosen: Bools) -> list[Flip]:
    """Return the chosen pictures, the candidate's most confident answers first."""
    places = np.flatnonzero(chosen)
    places = places[np.argsort(-pair.confidence[places], kind="stable")]
    columns = (pair.target, pair.before, pair.after)
    return [
        Flip(pair.sha256[place].decode(), *(_label(pair.classes, column[place]) for column in columns))
        for place in places
    ]


def _label(classes: tuple[str, ...], answer: Any) -> str:  # a row of a Column: an integer, or bool (classes,)
    return "|".join(classes[k] for k in np.flatnonzero(answer)) if np.ndim(answer) else classes[answer]
