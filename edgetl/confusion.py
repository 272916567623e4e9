"""What was taken for what, as a picture: one row for each true class, one column for each answer."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# More classes than this have no room for numbers and names.
_MOST_NAMED = 30


def write_confusion(path: Path, classes: Sequence[str], truth: NDArray[Any], decided: NDArray[Any]) -> None:
    """Draw the confusion matrix of the verifying pictures.

    Args:
        truth, decided: numbers of classes, (n,), or bool (n, classes) where a picture has any number of
            labels: then the picture shows, for each label, how many were found, missed and wrongly given.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # No pyplot: no global state, no display.

    if truth.ndim == 1:
        counts, columns = confusion_counts(truth, decided, len(classes)), list(classes)
    else:
        counts, columns = label_counts(truth, decided), ["found", "missed", "wrongly given"]
    side = min(12.0, 2.5 + 0.45 * max(counts.shape))
    figure = Figure(figsize=(side, side), layout="constrained")
    panel = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if len(classes) <= _MOST_NAMED:
        panel.set_xticks(range(len(columns)), [_plain(name) for name in columns], rotation=90)
        panel.set_yticks(range(len(classes)), [_plain(name) for name in classes])
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            panel.text(column, row, str(count), ha="center", va="center", color=colour)
    panel.set_ylabel("true class")
    panel.set_xlabel("answer")
    panel.set_title(f"{len(truth):,} verifying pictures")
    # Without the salt the names inside are drawn anew each time; as text, a class may be in any script: the
    # viewer has the font, matplotlib need not.
    with rc_context({"svg.hashsalt": "edgetl", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, metadata={"Date": None})


def confusion_counts(truth: NDArray[Any], decided: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Count answers, (classes, classes): rows are true classes."""
    counts = np.bincount(truth * classes + decided, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def label_counts(truth: NDArray[np.bool_], decided: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count for each label how often it was found, missed and wrongly given, (classes, 3)."""
    cases = (truth & decided, truth & ~decided, ~truth & decided)
    return np.stack([case.sum(axis=0) for case in cases], axis=1).astype(np.int64)


def _plain(name: str) -> str:
    """Keep matplotlib from reading a class name as mathematics."""
    return name.replace("$", r"\$")
