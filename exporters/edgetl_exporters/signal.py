"""How far quantized logits are from those of the float model, as power of signal to noise."""

import numpy as np

from edgetl_exporters.model import Floats

_MOST_DB = 200.0


def signal_to_noise(wanted: Floats, got: Floats) -> float:
    """Return the power of logits over that of their error, in decibels; at most 200."""
    noise = float(np.square(wanted - got, dtype=np.float64).sum())
    signal = float(np.square(wanted, dtype=np.float64).sum())
    return float(min(10 * np.log10(signal / noise), _MOST_DB)) if noise else _MOST_DB
