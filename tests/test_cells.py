"""The metrics of a cell are scikit-learn's, over all pictures and over drawn ones."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from benchmarks.cells import Cell, digits
from benchmarks.train_table import paired


def cell(classes: int, seed: int) -> Cell:
    """Answer at random, with scores of which many are equal."""
    generator = np.random.default_rng(seed)
    targets, predicted = generator.integers(classes, size=(2, 200))
    texts = ("".join(map(str, one)) for one in (targets, predicted))
    scores = generator.integers(20, size=200) / 20
    return Cell("set", 0, "ours", 1.0, 1.0, [f"{n:03}" for n in range(200)], *texts, scores.tolist(), {})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("drawn", [None, 30])
def test_metrics_are_those_of_scikit_learn(seed: int, drawn: int | None) -> None:
    two, ten = cell(2, seed), cell(10, seed)
    chosen = np.random.default_rng(seed).integers(200, size=drawn) if drawn else None
    places = np.arange(200) if chosen is None else chosen
    targets, scores = digits(two.targets)[places], np.array(two.scores)[places]
    assert two.measure("auc", chosen) == pytest.approx(roc_auc_score(targets == 0, scores), abs=1e-12)
    targets, predicted = digits(ten.targets)[places], digits(ten.predicted)[places]
    recalls = [float((predicted[targets == one] == one).mean()) for one in np.unique(targets)]
    assert ten.measure("balanced_accuracy", chosen) == pytest.approx(np.mean(recalls), abs=1e-12)
    if chosen is None:  # Of answers that no drawn picture has it warns.
        assert np.mean(recalls) == pytest.approx(balanced_accuracy_score(targets, predicted), abs=1e-12)


def test_pictures_of_one_name_are_drawn_together() -> None:
    """Theirs errs on one drawing of a, neither on b: half is lost at most, where a is drawn twice."""
    names = ["a.png", "a.png", "b.png"]
    ours = Cell("set", 0, "ours", 1.0, 1.0, names, "000", "000", [], {})
    theirs = Cell("set", 0, "theirs", 1.0, 1.0, names, "000", "010", [], {})
    assert paired([ours], [theirs], "accuracy") == (0.0, 0.5)
