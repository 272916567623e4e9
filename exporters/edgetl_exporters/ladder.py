"""The int8 ladder: climbed rung by rung until a saved file keeps the contract.

Every rung is measured on the choosing pictures. The first must pass there with room to spare, since the next
one costs only seconds and may do better; after that passing is enough. What passes is verified as a saved
file, the least loss first, on pictures that nothing was fitted to, by both engines; the first that passes is
taken. Whatever fails there sends the climb on, but each look wears the verifying pictures out, so there are
few, and they are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgetl_exporters.candidate import Candidate, Climb, converted
from edgetl_exporters.contract import Comparison, compare
from edgetl_exporters.graph import with_static_batch
from edgetl_exporters.measure import Judged, Measured, agreeing, judge, run_file
from edgetl_exporters.report import RungRow
from edgetl_exporters.rungs import RUNGS, Rung, climb_rung
from edgetl_exporters.to_int8 import QuantizerError
from edgetl_runtime.errors import ContractError, EngineError
from edgetl_runtime.manifest import EngineName
from edgetl_runtime.statistics import wilson

_ENGINES: tuple[EngineName, ...] = ("openvino", "onnxruntime")
# Of the drop that is allowed; a quantizer that takes more leaves the choice to the next rung.
ROOM = 0.5
MOST_LOOKS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """A candidate's file in one engine, on the verifying pictures."""

    file: Path
    measured: Measured
    judged: Judged
    comparison: Comparison


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The candidate that kept the contract, with its file in each engine.

    looks: how many candidates were held against the verifying pictures, itself included.
    """

    candidate: Candidate
    files: dict[EngineName, Verified]
    looks: int


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """What became of a climb; `taken` is None when every candidate misses."""

    rows: tuple[RungRow, ...]
    taken: Taken | None


def climb(givens: Climb, rungs: Sequence[Rung] = RUNGS) -> Ladder:
    """Climb until a candidate keeps the contract on the verifying pictures.

    Raises:
        ContractError: no rung could be made.
    """
    candidates: list[Candidate] = []
    outcomes: dict[str, tuple[bool, str]] = {}
    failed: list[str] = []
    taken: Taken | None = None
    for number, rung in enumerate(rungs):
        if taken is not None or len(outcomes) == MOST_LOOKS:
            break
        if not rung.possible(givens, candidates):
            continue
        try:
            candidates.append(climb_rung(rung, givens, candidates))
        except (QuantizerError, EngineError) as error:  # No file, or none that opens, costs this rung alone.
            failed.append(f"{rung.name}: {error}")
            givens.watcher.note(f"The rung {rung.name!r} is left out: {error}.")
            continue
        room = ROOM if number == 0 < len(rungs) - 1 else 1.0
        taken = _first_to_keep(givens, candidates, outcomes, room * givens.limit)
    if not candidates:
        raise ContractError(
            f"There is no int8 of this network: {'; '.join(failed)}. Nothing was written. Leave int8 out, "
            "with --variants onnx-fp32,openvino-fp16."
        )
    # The first may pass with less room than that, and nothing may have come after it.
    taken = taken or _first_to_keep(givens, candidates, outcomes, givens.limit)
    return Ladder(rows(givens, candidates, outcomes), taken)


def _first_to_keep(
    givens: Climb, candidates: Sequence[Candidate], outcomes: dict[str, tuple[bool, str]], most: float
) -> Taken | None:
    """Verify what may be verified until one keeps the contract; each look is noted in `outcomes`."""
    for candidate in _presentable(candidates, outcomes, most):
        files = {engine: _verify(givens, candidate, engine) for engine in _ENGINES}
        against = sorted({clause for file in files.values() for clause in file.comparison.against})
        outcomes[candidate.rung] = not against, "; ".join(against) or "taken"
        if not against:
            return Taken(candidate, files, len(outcomes))
    return None


def _presentable(
    candidates: Sequence[Candidate], outcomes: dict[str, tuple[bool, str]], most: float
) -> list[Candidate]:
    """Return the candidates that may be verified now, the best first."""
    fit = [
        one
        for one in candidates
        if one.rung not in outcomes and one.comparison.passes and one.comparison.drop <= most
    ]
    return sorted(fit, key=lambda one: one.preference)[: MOST_LOOKS - len(outcomes)]


def _verify(givens: Climb, candidate: Candidate, engine: EngineName) -> Verified:
    """Judge the saved file on the verifying pictures as the engine runs it."""
    givens.watcher.phase(f"int8: verify {candidate.rung} in {engine}")
    batch = givens.static_batch
    file = candidate.file
    if batch is not None:
        file = file.with_name(f"{file.stem}-static.onnx")
        onnx.save(with_static_batch(onnx.load(candidate.file), batch), file)
    file = file if engine == "onnxruntime" else converted(file)
    verify = givens.data.verify
    measured = run_file(file, engine, verify.pixels, batch=batch or 1)
    judged = judge(givens.model.task, measured.logits, verify.targets, candidate.temperature)
    return Verified(file, measured, judged, compare(givens.reference[1], judged, givens.limit))


def rows(
    givens: Climb, candidates: Sequence[Candidate], outcomes: dict[str, tuple[bool, str]]
) -> tuple[RungRow, ...]:
    """Return a row for each candidate; an outcome is whether it was taken, and why not, by rung."""
    found = []
    for candidate in candidates:
        same = agreeing(givens.reference[0], candidate.judged)
        verified, outcome = outcomes.get(candidate.rung, (None, _not_verified(candidate)))
        row = RungRow(
            rung=candidate.rung,
            head=candidate.head,
            n=candidate.comparison.n,
            accuracy=candidate.judged.accuracy,
            balanced_accuracy=candidate.judged.balanced_accuracy,
            agreement=wilson(int(same.sum()), len(same)),
            drop=candidate.comparison.drop,
            loss=candidate.judged.loss,
            passes=candidate.comparison.passes,
            verified=verified,
            outcome=outcome,
        )
        found.append(row)
    return tuple(found)


def _not_verified(candidate: Candidate) -> str:
    if candidate.comparison.passes:
        return "not verified: another was taken, or the looks are used up"
    return f"on the choosing pictures {'; '.join(candidate.comparison.against)}"
