"""The front as a picture: accuracy over milliseconds, a disc as large as the model's files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgetl.search.findings import Row
from edgetl_runtime.atomic import replacing_file

_COLOURS = {"float": "#1f5fa8", "int8": "#c2571a"}
_AREA_PER_MB = 8.0


def write_pareto(path: Path, rows: Sequence[Row]) -> None:
    """Draw all models, those on the front with their interval and their name."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # No pyplot: no global state, no display.

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    panel = figure.subplots()
    for precision in sorted({row.precision for row in rows}):
        _draw(panel, [row for row in rows if row.precision == precision], precision, _COLOURS[precision])
    for row in (row for row in rows if row.on_front):
        low, high = row.chosen["low"], row.chosen["high"]
        panel.vlines(row.point.p50_ms, low, high, color=_COLOURS[row.precision], alpha=0.4)
        name = f"{row.trial} {row.precision}"
        panel.annotate(
            name, (row.point.p50_ms, row.point.accuracy), (5, 5), textcoords="offset points", fontsize=8
        )
    panel.set_xlabel("p50 of one picture on this machine (ms)")
    panel.set_ylabel("accuracy on the choosing half of validation")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, title="filled: on the front; area: MB")
    with rc_context({"svg.hashsalt": "edgetl"}), replacing_file(path) as aside:
        figure.savefig(aside, format="svg", metadata={"Date": None})


def _draw(panel: Any, rows: Sequence[Row], label: str, colour: str) -> None:  # matplotlib has no types
    for on_front in (True, False):
        chosen = [row for row in rows if row.on_front == on_front]
        panel.scatter(
            [row.point.p50_ms for row in chosen],
            [row.point.accuracy for row in chosen],
            s=[_AREA_PER_MB * row.point.size_mb + 12 for row in chosen],
            facecolors=colour if on_front else "none",
            edgecolors=colour,
            alpha=0.8,
            label=label if on_front else None,
        )
