"""A head solved block by block is the head that is solved in one go."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgetl import head as head_module
from edgetl import large_head
from edgetl.cache import Rows
from edgetl.head import Labelled, solve_head
from edgetl.large_head import solve_rows

ROWS, WIDTH, TRAIN = 1_500, 12, 1_200
A_QUARTER = 4 * WIDTH * TRAIN // 4


def made_up(classes: int, task: str, seed: int = 0):
    """Features of different scales, answers that depend on them but not alone, and weights of classes."""
    generator = np.random.default_rng(seed)
    features = (generator.normal(size=(ROWS, WIDTH)) * generator.uniform(0.5, 3, WIDTH)).astype(np.float16)
    scores = features.astype(np.float64) @ generator.normal(size=(WIDTH, classes)) * 0.3
    scores += generator.gumbel(size=scores.shape)
    targets = scores.argmax(1) if task == "single_label" else (scores > 0.5).astype(np.float32)
    return features, targets, generator.uniform(0.5, 2, classes).astype(np.float32)


@pytest.fixture
def one_penalty(monkeypatch):
    monkeypatch.setattr(head_module, "C_GRID", (0.1,))
    monkeypatch.setattr(large_head, "_BLOCK_ROWS", 70)


@pytest.mark.parametrize(("classes", "task"), [(2, "single_label"), (5, "single_label"), (4, "multi_label")])
def test_blocks_give_the_head_that_all_rows_give(one_penalty, monkeypatch, classes, task):
    features, targets, weights = made_up(classes, task)
    choose = Labelled(features[TRAIN:], targets[TRAIN:])
    # Whatever the choosing pictures say: the head of all rows is to be seen.
    monkeypatch.setattr(large_head, "score", lambda *_: SimpleNamespace(loss=0.0))
    whole = solve_head(
        Labelled(features[:TRAIN].astype(np.float32), targets[:TRAIN]), choose, task=task, weights=weights
    )
    rows = [Rows(features, np.arange(TRAIN))]
    blocks = solve_rows(rows, targets[:TRAIN], choose, task=task, weights=weights, most_bytes=A_QUARTER)
    part = solve_rows(rows, targets[:TRAIN], choose, task=task, weights=weights, most_bytes=10**9)
    np.testing.assert_array_equal(part.weight, whole.weight)
    np.testing.assert_allclose(blocks(choose.features), whole(choose.features), atol=0.05)


def test_all_rows_that_do_worse_than_a_part_are_not_taken(one_penalty, monkeypatch):
    features, targets, weights = made_up(3, "single_label")
    good = np.arange(0, TRAIN, 4)
    monkeypatch.setattr(large_head, "_part", lambda *_: good)
    spoiled = (targets[:TRAIN] + 1) % 3
    spoiled[good] = targets[good]
    choose = Labelled(features[TRAIN:], targets[TRAIN:])
    rows = [Rows(features, np.arange(TRAIN))]
    found = solve_rows(rows, spoiled, choose, task="single_label", weights=weights, most_bytes=A_QUARTER)
    part = Labelled(features[good].astype(np.float32), targets[good])
    alone = solve_head(part, choose, task="single_label", weights=weights)
    np.testing.assert_array_equal(found.weight, alone.weight)


def test_a_rare_class_stays_in_the_part():
    targets = np.zeros(100_000, np.int64)
    targets[[5, 77, 4_000]] = 1
    places = large_head._part(targets, "single_label", 50)
    assert {5, 77, 4_000} <= set(places.tolist())
    assert len(places) == pytest.approx(2_000, rel=0.01)
