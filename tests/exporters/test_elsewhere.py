"""Power of signal to noise."""

import numpy as np
import pytest

from edgetl_exporters.elsewhere import signal_to_noise


def test_signal_to_noise_is_in_decibels() -> None:
    wanted = np.full((4, 3), 10.0, np.float32)
    assert signal_to_noise(wanted, wanted + 1) == pytest.approx(20)
    assert signal_to_noise(wanted, wanted * 0) == pytest.approx(0)
    assert signal_to_noise(wanted, wanted) == 200
    assert not signal_to_noise(wanted, wanted * np.float32("nan")) >= 0
