"""The learning curve as a picture: loss and accuracy over epochs, one panel each, step by step."""

from collections.abc import Sequence
from pathlib import Path

from edgetl.events import Step


def write_curve(path: Path, steps: Sequence[Step]) -> None:
    """Draw the validation loss and the balanced accuracy after every epoch, starting with the solved head."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # No pyplot: no global state, no display.

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    labels = ("loss on validation (nats)", "balanced accuracy on validation")
    for panel, name, label in zip(panels, ("validation_loss", "balanced_accuracy"), labels, strict=True):
        place = 0
        panel.axhline(getattr(steps[0], name), color="0.6", linestyle=":", label="solved head")
        for step in steps[1:]:
            xs = range(place + 1, place + 1 + len(step.epochs))
            style = "-" if step.kept else "--"
            name_kept = step.name if step.kept else f"{step.name} (not kept)"
            panel.plot(
                xs, [getattr(epoch, name) for epoch in step.epochs], style, marker="o", label=name_kept
            )
            place += len(step.epochs)
        panel.set_xlabel("epoch")
        panel.set_ylabel(label)
        panel.spines[["top", "right"]].set_visible(False)
        panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].legend(frameon=False, fontsize=8)
    with rc_context({"svg.hashsalt": "edgetl"}):  # Else the names inside are drawn anew each time.
        figure.savefig(path, metadata={"Date": None})
