"""The temperature that nobody has to bring: the same as the training's own."""

import numpy as np
import pytest

from edgetl.scoring import fit_temperature as of_the_training
from edgetl.task import TASKS
from edgetl_exporters.temperature import fit_temperature


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_search_finds_what_scipy_finds(true: float) -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(3, size=400)
    logits = (true * (np.eye(3)[targets] * 2 + generator.normal(size=(400, 3)))).astype(np.float32)
    found = fit_temperature("single_label", logits, targets)
    assert found == pytest.approx(of_the_training(logits, targets, TASKS["single_label"]), rel=1e-3)


def test_several_labels_have_one_temperature() -> None:
    generator = np.random.default_rng(1)
    targets = generator.integers(2, size=(300, 4)).astype(np.float32)
    logits = (3 * (2 * targets - 1 + generator.normal(size=(300, 4)))).astype(np.float32)
    found = fit_temperature("multi_label", logits, targets)
    assert found == pytest.approx(of_the_training(logits, targets, TASKS["multi_label"]), rel=1e-3)
