"""Which of the wanted variants are made, in which order, and what becomes of those that miss.

Float variants come first: where they miss, no rung of the int8 ladder is climbed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgetl_exporters.candidate import Climb
from edgetl_exporters.elsewhere import ElsewhereClimb
from edgetl_exporters.embedded import Embedded
from edgetl_exporters.floats import FloatFiles
from edgetl_exporters.ladder import Ladder, climb
from edgetl_exporters.made import make_elsewhere, make_float, make_int8
from edgetl_exporters.model import OnMiss
from edgetl_exporters.on_ethosu import ACCELERATORS, climb_ethosu
from edgetl_exporters.on_qnn import NAME as QNN
from edgetl_exporters.on_qnn import climb_qnn
from edgetl_exporters.report import RungRow
from edgetl_exporters.variants import KINDS, Made, VariantName
from edgetl_runtime.errors import ContractError, EngineError

ClimbThere = Callable[[Sequence[VariantName]], tuple[ElsewhereClimb, Mapping[VariantName, Embedded]]]


@dataclass(frozen=True, slots=True, eq=False)
class Making:
    """What came of the wanted variants.

    made: in order of preference. left_out: the others, with the reason. ladder: without rungs
    where no int8 was wanted; those for other devices come last.
    """

    made: tuple[Made, ...]
    left_out: dict[str, str]
    ladder: Ladder


def make_all(
    wanted: Sequence[VariantName],
    floats: FloatFiles,
    givens: Climb,
    min_precision: float | None,
    on_miss: OnMiss,
) -> Making:
    """Measure every wanted variant as a saved file.

    Raises:
        ContractError: one misses and `on_miss` is "fail", one may not miss, or none is left.
    """
    int8 = [one for one in wanted if KINDS[one].precision == "int8" and KINDS[one].device is None]
    givens.watcher.phase("measure the float variants")
    made, left_out = _floats(wanted, floats, givens, min_precision, on_miss)
    ladder = climb(givens) if int8 else Ladder((), None)
    if ladder.taken is not None:
        givens.watcher.phase("measure and pack")
        made += [make_int8(one, floats, ladder, givens, min_precision) for one in int8]
    elif int8:
        reason = _missed(ladder.rows, givens, may_go_on=on_miss == "fp16" and bool(made))
        left_out |= _left_out(int8, reason, ladder.rows, givens).left_out
    for names, there in (
        ([QNN] if QNN in wanted else [], lambda names: (climb_qnn(givens), {})),
        ([one for one in wanted if one in ACCELERATORS], lambda names: climb_ethosu(givens, names)),
    ):
        if names:
            may_go_on = on_miss == "fp16" and bool(made)
            found = _elsewhere(names, there, givens, min_precision, may_go_on=may_go_on)
            made += found.made
            left_out |= found.left_out
            ladder = replace(ladder, rows=ladder.rows + found.ladder.rows)
    _refuse_missed(made)
    if not made:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ContractError(f"No wanted variant is left: {reasons} Nothing was written. See --variants.")
    return Making(tuple(sorted(made, key=lambda one: wanted.index(one.name))), left_out, ladder)


def _elsewhere(
    wanted: Sequence[VariantName],
    there: ClimbThere,
    givens: Climb,
    min_precision: float | None,
    *,
    may_go_on: bool,
) -> Making:
    """Make variants that are answered elsewhere: all from one candidate, or none; then they are left out."""
    try:
        found, embedded = there(wanted)
    except ContractError as error:  # The network, or some of it, is nothing for the device.
        if not may_go_on:
            raise ContractError(f"{', '.join(wanted)}: {error} Nothing was written.") from error
        return _left_out(wanted, str(error).rstrip("."), (), givens)
    if found.taken is None:
        return _left_out(wanted, _missed(found.rows, givens, may_go_on=may_go_on), found.rows, givens)
    made = (
        make_elsewhere(name, found.taken, givens, found.rows, min_precision, embedded.get(name))
        for name in wanted
    )
    return Making(tuple(made), {}, Ladder(found.rows, None))


def _left_out(wanted: Sequence[VariantName], reason: str, rows: tuple[RungRow, ...], givens: Climb) -> Making:
    givens.watcher.note(f"Left out: {', '.join(wanted)}; {reason}.")
    return Making((), dict.fromkeys(wanted, reason), Ladder(rows, None))


def _floats(
    wanted: Sequence[VariantName],
    floats: FloatFiles,
    givens: Climb,
    min_precision: float | None,
    on_miss: OnMiss,
) -> tuple[list[Made], dict[str, str]]:
    """Measure what is not quantized; leave out what cannot run here, and what rounds too coarsely."""
    made, left_out = [], dict[str, str]()
    for name in wanted:
        kind = KINDS[name]
        if kind.precision == "int8":
            continue
        try:
            one = make_float(name, floats, givens, min_precision)
        except EngineError as error:
            if kind.execution != "bf16":
                raise
            left_out[name] = f"it cannot be measured here. {error}"
            continue
        if kind.rounds and on_miss == "fp16" and one.comparison.against:
            left_out[name] = f"{'; '.join(one.comparison.against)}."
        else:
            made.append(one)
    for missing, reason in left_out.items():
        givens.watcher.note(f"Left out: {missing}: {reason}")
    _refuse_missed(made)
    return made, left_out


def _refuse_missed(made: Sequence[Made]) -> None:
    """Refuse variants that lose what int8 may not lose either, or that break the promised precision.

    Raises:
        ContractError: with the numbers.
    """
    missed = [f"{one.name}: {'; '.join(one.comparison.against)}" for one in made if one.comparison.against]
    if missed:
        raise ContractError(f"Variants miss the limit: {', '.join(missed)}. Nothing was written.")
    told = {one.name: one.rejecting.against for one in made if one.rejecting is not None}
    broken = [f"{name}: {against}" for name, against in told.items() if against]
    if broken:
        raise ContractError(
            f"The verifying pictures break the promised precision: {', '.join(broken)}. Nothing was written. "
            "Add validation pictures like those of the field, or lower --min-precision."
        )


def _missed(rows: Sequence[RungRow], givens: Climb, *, may_go_on: bool) -> str:
    """Say why there is no int8, or raise it."""
    tried = "; ".join(f"{row.rung}: {row.outcome}" for row in rows)
    reason = f"int8 misses its limit of {100 * givens.limit:g} points: {tried}"
    if not may_go_on:
        raise ContractError(
            f"{reason}. Nothing was written. Add training pictures, allow more with --max-drop, or export "
            "without int8: --on-miss fp16."
        )
    return reason
