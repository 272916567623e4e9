"""Learning curves as drawings: one figure over the epochs of all steps, and what its text says."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetl.report.chart import Label, Scale, head_of, labels_above, polyline, spanning
from edgetl.report.history import Step

# Of a panel's drawing, in its own units.
LEFT, RIGHT, TOP, BOTTOM = 42, 312, 14, 176


@dataclass(frozen=True, slots=True)
class Line:
    """The epochs of one step as a polyline, where its name stands, and its loss on training pictures."""

    name: str
    kept: bool
    points: str
    dots: tuple[tuple[float, float], ...]
    training: str
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

    @property
    def has_training(self) -> bool:
        """Whether the loss on training pictures is drawn."""
        return any(line.training for line in self.lines)


def draw_curves(steps: Sequence[Step]) -> tuple[Panel, ...]:
    """Draw loss and balanced accuracy; a training whose head alone was solved has no curve."""
    if not any(step.epochs for step in steps):
        return ()
    losses = [[epoch.validation_loss for epoch in step.epochs] for step in steps]
    training = [[epoch.loss for epoch in step.epochs if epoch.loss is not None] for step in steps]
    shares = [[epoch.balanced_accuracy for epoch in step.epochs] for step in steps]
    return (
        _panel("Loss on validation, nats", "{:.2f}", steps, (steps[0].validation_loss, losses, training)),
        _panel("Balanced accuracy on validation", "{:.0%}", steps, (steps[0].balanced_accuracy, shares, [])),
    )


_Values = tuple[float, list[list[float]], list[list[float]]]  # of the solved head, and of epochs by step


def _panel(title: str, form: str, steps: Sequence[Step], values: _Values) -> Panel:
    start, rows, training = values
    total = sum(map(len, rows))
    x = Scale(0, total + 0.5, LEFT, RIGHT)
    y = spanning([start, *(value for row in (*rows, *training) for value in row)], BOTTOM, TOP)
    last = next(row[-1] for row in reversed(rows) if row)
    text = f"{title}: {form.format(start)} with the solved head, {form.format(last)} after {total} epochs."
    lines = _lines(steps, rows, training, (x, y))
    learned = next((row[-1] for row in reversed(training) if row), None)
    if learned is not None:
        text += f" On training pictures {form.format(learned)}."
    return Panel(
        title,
        text,
        lines,
        y(start),
        head_of([line.label for line in lines]),
        tuple((y(tick), form.format(tick)) for tick in y.ticks(4)),
        tuple((x(tick), f"{tick:g}") for tick in x.ticks(7) if tick == int(tick)),
    )


def _lines(
    steps: Sequence[Step], rows: list[list[float]], training: list[list[float]], scales: tuple[Scale, Scale]
) -> tuple[Line, ...]:
    x, y = scales
    found, done = [], 0
    for place, row in enumerate(rows):
        first, learned = done + 1, training[place] if training else []
        done += len(row)
        if row:
            dots = tuple((x(first + number), y(value)) for number, value in enumerate(row))
            below = polyline([(x(first + number), y(value)) for number, value in enumerate(learned)])
            found.append((steps[place], dots, below))
    names = [step.name if step.kept else f"{step.name}, not kept" for step, _, _ in found]
    labels = labels_above(names, [dots[0][0] for _, dots, _ in found], TOP, RIGHT)
    return tuple(
        Line(name, step.kept, polyline(dots), dots, below, label)
        for name, (step, dots, below), label in zip(names, found, labels, strict=True)
    )
