"""Parity of the float files with the trained module: the same answers, and logits that differ by rounding."""

from collections.abc import Mapping

import numpy as np

from edgetl_exporters.measure import agreeing, judge
from edgetl_exporters.model import Floats, Model, Targets
from edgetl_runtime.errors import ContractError

PICTURES = 64

# Of the range of the logits. Rounding of float32 through a hundred layers stays a hundred times below; a
# wrong mean or a swapped channel is far above.
_MOST_OFF = 2e-3


def check_parity(
    model: Model, wanted: Floats, got: Mapping[str, Floats], targets: Targets
) -> dict[str, float]:
    """Compare logits (n, classes) of each file with those of the trained module.

    Returns:
        The largest absolute difference by the name of the file.

    Raises:
        ContractError: an answer differs, or logits differ by more than rounding.
    """
    reference = judge(model.task, wanted, targets, 1.0)
    most = _MOST_OFF * max(float(np.ptp(wanted)), 1e-3)
    found, complaints = {}, []
    for name, logits in got.items():
        same = agreeing(reference, judge(model.task, logits, targets, 1.0))
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
