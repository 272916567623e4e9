"""Parity of the float files with the trained module: the same answers, and logits that differ by rounding.

First the graph is held against the module, on some pictures; then each saved file against the graph, on all
verifying ones. Otherwise a file that came out wrong would keep the contract as long as it loses little.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgetl_exporters.model import Floats, Model
from edgetl_runtime.errors import ContractError
from edgetl_runtime.pictures import Task

PICTURES = 64

# Of the range of the logits. Rounding of float32 through a hundred layers stays a hundred times below; a
# wrong mean or a swapped channel is far above.
MOST_OFF = 2e-3
# Weights stored as fp16 have cost six networks 7e-4 to 5e-3.
_HALF_OFF = 2e-2
# Of the same range: two classes nearer than this are a tie, which rounding decides one way or the other.
_TIE = 1e-4


def check_parity(model: Model, wanted: Floats, got: Mapping[str, Floats]) -> dict[str, float]:
    """Compare logits (n, classes) of each file with those of the trained module.

    Returns:
        The largest absolute difference by the name of the file.

    Raises:
        ContractError: an answer differs, or logits differ by more than rounding.
    """
    most = MOST_OFF * max(float(np.ptp(wanted)), 1e-3)
    found, complaints = {}, []
    for name, logits in got.items():
        same = same_answers(model.task, wanted, logits)
        found[name] = float(np.abs(logits - wanted).max())
        if not same.all() or not found[name] <= most:
            complaints.append(
                f"{name} answers {int(same.sum())} of {len(same)} pictures alike, "
                f"its logits are off by {found[name]:.3g}, at most {most:.3g} allowed"
            )
    if complaints:
        raise ContractError(
            f"The exported graph is not the trained network: {'; '.join(complaints)}. "
            "Nothing was written. Report this with the backbone's name."
        )
    return found


def check_saved(name: str, task: Task, wanted: Floats, got: Floats, *, half: bool) -> None:
    """Compare logits (n, classes) of a saved float file with those of the float model.

    Among thousands of pictures some are nearly a tie, which rounding decides: only the logits count.

    Args:
        half: the file stores its weights as fp16.

    Raises:
        ContractError: it is another network.
    """
    off = float(np.abs(got - wanted).max())
    most = (_HALF_OFF if half else MOST_OFF) * max(float(np.ptp(wanted)), 1e-3)
    if not off <= most:
        same = same_answers(task, wanted, got)
        raise ContractError(
            f"The saved file of {name} is not the float model: it answers {int(same.sum())} of {len(same)} "
            f"pictures alike, its logits are off by {off:.3g}, at most {most:.3g} allowed. "
            "Nothing was written. Report this with the backbone's name."
        )


def same_answers(task: Task, wanted: Floats, got: Floats) -> NDArray[np.bool_]:
    """Tell for each picture, (n,), whether both give the same answer, or one that is a tie in `wanted`."""
    tie = _TIE * float(np.ptp(wanted))
    if task == "multi_label":
        same: NDArray[np.bool_] = (((wanted >= 0) == (got >= 0)) | (np.abs(wanted) <= tie)).all(axis=1)
        return same
    behind = wanted.max(axis=1) - wanted[np.arange(len(wanted)), got.argmax(axis=1)]
    return np.asarray(behind <= tie)
