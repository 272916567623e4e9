"""A candidate that something other than this processor has run, beside the float model on some pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl_exporters.candidate import Candidate, Climb
from edgetl_exporters.contract import Comparison, compare
from edgetl_exporters.facts import rounded, rung_facts
from edgetl_exporters.measure import Judged, judge
from edgetl_exporters.model import Floats, Labelled
from edgetl_exporters.report import RungRow

_MOST_DB = 200.0


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """What was answered there.

    measured_on: a device, a simulator or reference kernels, in words. p50_ms: of a batch, None where it is no
    device. sha256: of the pictures' files, or empty. signal_db: of the float model's logits to the difference
    from them. looks: how many candidates were held against these pictures, itself included.
    """

    candidate: Candidate
    measured_on: str
    p50_ms: float | None
    reference: Judged
    judged: Judged
    comparison: Comparison
    sha256: tuple[str, ...]
    signal_db: float
    looks: int

    def against(self, clauses: Sequence[str]) -> "Elsewhere":
        """Add what else speaks against it."""
        return replace(
            self, comparison=replace(self.comparison, against=(*self.comparison.against, *clauses))
        )

    def facts(self, ladder: Sequence[RungRow]) -> dict[str, Any]:
        """Return what the manifest says of it, beside its contract."""
        return {
            "measured_on": self.measured_on,
            "signal_to_noise_db": rounded(self.signal_db),
            "rung": self.candidate.rung,
            "weights_bits": self.candidate.plan.bits,
            "looks": self.looks,
            "rungs": [rung_facts(row) for row in ladder],
        }


@dataclass(frozen=True, slots=True, eq=False)
class ElsewhereClimb:
    """What became of the rungs; `taken` is None when each misses."""

    rows: tuple[RungRow, ...]
    taken: Elsewhere | None


def judged_elsewhere(
    givens: Climb,
    candidate: Candidate,
    verify: tuple[NDArray[np.int64], Labelled],
    logits: Floats,
    *,
    measured_on: str,
    p50_ms: float | None,
    looks: int,
) -> Elsewhere:
    """Judge logits of a part of the verifying pictures, which is given by its places and as such."""
    places, pictures = verify
    task, whole = givens.model.task, givens.reference[1]
    reference = judge(task, whole.logits[places], pictures.targets, whole.temperature)
    judged = judge(task, logits, pictures.targets, candidate.temperature)
    return Elsewhere(
        candidate=candidate,
        measured_on=measured_on,
        p50_ms=p50_ms,
        reference=reference,
        judged=judged,
        comparison=compare(reference, judged, givens.limit),
        sha256=pictures.sha256,
        signal_db=signal_to_noise(reference.logits, judged.logits),
        looks=looks,
    )


def signal_to_noise(wanted: Floats, got: Floats) -> float:
    """Return the power of logits over that of their error, in decibels; at most 200."""
    noise = float(np.square(wanted - got, dtype=np.float64).sum())
    signal = float(np.square(wanted, dtype=np.float64).sum())
    return float(min(10 * np.log10(signal / noise), _MOST_DB)) if noise else _MOST_DB
