"""The history of a training as a run tells it: steps, epochs, and how its settings were found.

Everything comes from `run.json`, which may be of an older edgetl or of anybody: what newer ones add may lack.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetl_runtime.errors import InputError
from edgetl_runtime.strict_json import brief

if TYPE_CHECKING:
    from edgetl.run import Run


@dataclass(frozen=True, slots=True)
class Epoch:
    """As in `edgetl.events.Epoch`; loss: on training pictures, None where it was not kept."""

    loss: float | None
    validation_loss: float
    balanced_accuracy: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A learning rate that raced: its losses in words, lap by lap, and whether it won."""

    rate: float
    laps: str
    won: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Accuracy on training pictures less that on validation pictures, with its 95 % interval, 0–1.

    overfits: whether the training has named it so.
    """

    value: float
    low: float
    high: float
    overfits: bool


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a step was tuned, as in `edgetl.events.Tuned`. remarks: what was out of the ordinary."""

    rate: float
    race: tuple[Rate, ...]
    epochs: str
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """As in `edgetl.events.Step`; tuning: None for the head, and where it was not kept; gap: where not."""

    name: str
    parameters: int
    seconds: float
    validation_loss: float
    accuracy: float
    balanced_accuracy: float
    kept: bool
    reason: str
    epochs: tuple[Epoch, ...]
    tuning: Tuning | None
    gap: Gap | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One backbone, tried as a whole; accuracy: None where it failed. why: it was tried, or failed."""

    backbone: str
    weights: str
    accuracy: float | None
    loss: float | None
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Probe:
    """A moment of tuning one side. loss: after it, None where it diverged; before: that of the head.

    gradient: None where it was no number.
    """

    block: str
    stages: str
    loss: float | None
    before: float
    gradient: float | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What was advised before the training, the decisive reason first."""

    approach: str
    backbone: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All of it; what a run does not have is empty. left_out: steps by name, with the reason."""

    steps: tuple[Step, ...]
    left_out: tuple[tuple[str, str], ...]
    attempts: tuple[Attempt, ...]
    probes: tuple[Probe, ...]
    advice: Advice | None


def read_history(run: "Run") -> History:
    """Read the history of a run.

    Raises:
        InputError: it is damaged.
    """
    try:
        return History(
            tuple(map(_step, run.steps)),
            tuple((str(name), str(reason)) for name, reason in run.search.get("left_out", {}).items()),
            tuple(map(_attempt, run.search.get("attempts", ()))),
            tuple(map(_probe, run.search.get("probes", ()))),
            _advice(run.search.get("advice")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The run {run.name!r} has a damaged history: {brief(error)}. Train again."
        ) from error


def _step(step: Mapping[str, Any]) -> Step:
    tuned, gap = step.get("tuned"), step.get("gap")
    return Step(
        name=str(step["name"]),
        parameters=int(step["parameters"]),
        seconds=float(step["seconds"]),
        validation_loss=float(step["validation_loss"]),
        accuracy=float(step["accuracy"]),
        balanced_accuracy=float(step["balanced_accuracy"]),
        kept=bool(step["kept"]),
        reason=str(step["reason"]),
        epochs=tuple(map(_epoch, step.get("epochs", ()))),
        tuning=None if tuned is None else _tuning(tuned),
        gap=_gap(gap) if gap else None,
    )


def _epoch(epoch: Mapping[str, Any]) -> Epoch:
    validation, balanced = float(epoch["validation_loss"]), float(epoch["balanced_accuracy"])
    return Epoch(_number(epoch.get("loss")), validation, balanced)


def _tuning(tuned: Mapping[str, Any]) -> Tuning:
    rate, share, (had, planned) = float(tuned["learning_rate"]), float(tuned["share"]), tuned["planned"]
    remarks = [str(tuned["stopped"])] if tuned["stopped"] else []
    remarks += ["multiplied in bfloat16"] if tuned["bf16"] else []
    remarks += [f"taken {100 * share:.0f} % of the way from the weights before"] if share < 1 else []
    return Tuning(
        rate=rate,
        race=tuple(_rate(float(one), losses, rate) for one, losses in tuned["race"]),
        epochs=f"{int(had)}" if had == planned else f"{int(had)} of {int(planned)}",
        remarks=tuple(remarks),
    )


def _gap(gap: Mapping[str, Any]) -> Gap:
    train, validation, low, high = (float(gap[name]) for name in ("train", "validation", "low", "high"))
    return Gap(train - validation, low, high, bool(gap.get("overfits", False)))


def _rate(rate: float, losses: Any, winner: float) -> Rate:
    laps = " → ".join("diverged" if loss is None else f"{float(loss):.3f}" for loss in losses)
    return Rate(rate, laps, math.isclose(rate, winner))


def _attempt(attempt: Mapping[str, Any]) -> Attempt:
    return Attempt(
        backbone=str(attempt["backbone"]),
        weights=str(attempt["weights"]),
        accuracy=_number(attempt["accuracy"]),
        loss=_number(attempt["validation_loss"]),
        seconds=float(attempt["seconds"]),
        why=str(attempt["failed"] or attempt["reason"]),
    )


def _probe(probe: Mapping[str, Any]) -> Probe:
    loss, gradient = _number(probe["loss"]), _number(probe["gradient"])
    return Probe(str(probe["block"]), str(probe["stages"]), loss, float(probe["before"]), gradient)


def _advice(advice: Mapping[str, Any] | None) -> Advice | None:
    if not advice:
        return None
    plan = advice["plan"]
    first, *more = map(str, plan["reasons"])
    return Advice(str(plan["approach"]), str(advice["backbone"]), (first, *more))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
