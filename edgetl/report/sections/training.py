"""The steps of the training and its learning curves, from the history in a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetl.report.chart import Label, Scale, head_of, labels_above, polyline, spanning
from edgetl.report.facts import Facts, Missing
from edgetl_runtime.errors import InputError
from edgetl_runtime.strict_json import brief

# Of a panel's drawing, in its own units.
LEFT, RIGHT, TOP, BOTTOM = 42, 312, 14, 176


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of the training, as in `edgetl.events.Step`."""

    name: str
    parameters: int
    seconds: float
    validation_loss: float
    accuracy: float
    balanced_accuracy: float
    kept: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """The epochs of one step as a polyline, and where its name stands."""

    name: str
    kept: bool
    points: str
    dots: tuple[tuple[float, float], ...]
    label: Label


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure over epochs. start: the height of the solved head; head: how far labels reach above 0."""

    title: str
    text: str
    lines: tuple[Line, ...]
    start: float
    head: float
    y_ticks: tuple[tuple[float, str], ...]
    x_ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Steps and panels; a training whose head alone was solved has no panels."""

    steps: tuple[StepRow, ...]
    panels: tuple[Panel, ...]
    figures: tuple[tuple[str, float, float, float, int], ...]
    interrupted: bool


def context(facts: Facts) -> Context | Missing:
    """Tell what was tried, step by step, and what came of it."""
    run = facts.sources.run
    if run is None:
        return Missing("give the run: edgetl report RUN …")
    try:
        steps = tuple(_step(step) for step in run.steps)
        history = [[_Epoch.of(epoch) for epoch in step.get("epochs", ())] for step in run.steps]
        figures = tuple(_figure(name, value) for name, value in run.figures.items())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The run {run.name!r} has a damaged history: {brief(error)}. Train again."
        ) from error
    return Context(steps, _panels(steps, history), figures, run.interrupted)


@dataclass(frozen=True, slots=True)
class _Epoch:
    validation_loss: float
    balanced_accuracy: float

    @classmethod
    def of(cls, epoch: Mapping[str, Any]) -> "_Epoch":
        return cls(float(epoch["validation_loss"]), float(epoch["balanced_accuracy"]))


def _step(step: Mapping[str, Any]) -> StepRow:
    return StepRow(
        name=str(step["name"]),
        parameters=int(step["parameters"]),
        seconds=float(step["seconds"]),
        validation_loss=float(step["validation_loss"]),
        accuracy=float(step["accuracy"]),
        balanced_accuracy=float(step["balanced_accuracy"]),
        kept=bool(step["kept"]),
        reason=str(step["reason"]),
    )


def _figure(name: str, value: Mapping[str, Any]) -> tuple[str, float, float, float, int]:
    low, middle, high = (float(value[key]) for key in ("low", "value", "high"))
    return name, middle, low, high, int(value["n"])


def _panels(steps: tuple[StepRow, ...], history: list[list[_Epoch]]) -> tuple[Panel, ...]:
    if not any(history):
        return ()
    return (
        _panel("Loss on validation, nats", "validation_loss", steps, history, "{:.2f}"),
        _panel("Balanced accuracy on validation", "balanced_accuracy", steps, history, "{:.0%}"),
    )


def _panel(
    title: str, name: str, steps: tuple[StepRow, ...], history: list[list[_Epoch]], form: str
) -> Panel:
    values = [[float(getattr(epoch, name)) for epoch in epochs] for epochs in history]
    start = float(getattr(steps[0], name))
    total = sum(map(len, values))
    x = Scale(0, total + 0.5, LEFT, RIGHT)
    y = spanning([start, *(value for row in values for value in row)], BOTTOM, TOP)
    found, done = [], 0
    for step, row in zip(steps, values, strict=True):
        dots = tuple((x(done + number), y(value)) for number, value in enumerate(row, start=1))
        done += len(row)
        if dots:
            found.append((step, dots))
    names = [step.name if step.kept else f"{step.name}, not kept" for step, _ in found]
    labels = labels_above(names, [dots[0][0] for _, dots in found], TOP, RIGHT)
    lines = [
        Line(name, step.kept, polyline(dots), dots, label)
        for name, (step, dots), label in zip(names, found, labels, strict=True)
    ]
    last = next(row[-1] for row in reversed(values) if row)
    text = f"{title}: {form.format(start)} with the solved head, {form.format(last)} after {total} epochs."
    return Panel(
        title,
        text,
        tuple(lines),
        y(start),
        head_of(labels),
        tuple((y(tick), form.format(tick)) for tick in y.ticks(4)),
        tuple((x(tick), f"{tick:g}") for tick in x.ticks(7) if tick == int(tick)),
    )
