"""The solved head: the same problem as scikit-learn's, folded exactly, its penalty chosen by one rule."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from edgetl import head as head_module
from edgetl.head import C_GRID, Head, Labelled, class_centroids, first_within_error, solve_head
from edgetl.scoring import Score, score
from edgetl.task import TASKS
from edgetl_runtime.pictures import Task

WIDTH = 12


def features(n: int, classes: int, seed: int, spread: float = 1.0) -> Labelled:
    """Draw features around a centre for each class; each feature has its own mean and scale."""
    centres = np.random.default_rng(99).normal(0, 1, (classes, WIDTH))
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    drawn = centres[targets] + spread * rng.normal(0, 1, (n, WIDTH))
    return Labelled((drawn * np.linspace(0.5, 2, WIDTH) + 7).astype(np.float32), targets)


def labels(n: int, seed: int) -> Labelled:
    found = features(n, 3, seed)
    present = found.targets[:, None] == np.arange(3)
    present[:, 2] |= found.features[:, 0] > 7
    return Labelled(found.features, present.astype(np.float32))


def standardised(train: Labelled, other: Labelled) -> tuple[NDArray[Any], NDArray[Any]]:
    mean, std = train.features.mean(axis=0), train.features.std(axis=0)
    return (train.features - mean) / std, (other.features - mean) / std


def solve(train: Labelled, choose: Labelled, task: Task, classes: int, **more: Any) -> Head:
    weights = more.pop("weights", np.ones(classes, np.float32))
    return solve_head(train, choose, task=task, weights=weights, **more)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_head_gives_the_probabilities_of_sklearn(classes: int, weighted: bool) -> None:
    train, choose = features(300, classes, 1), features(100, classes, 2)
    weights = np.linspace(0.5, 2, classes).astype(np.float32) if weighted else np.ones(classes, np.float32)
    head = solve(train, choose, "single_label", classes, weights=weights)
    z_train, z_choose = standardised(train, choose)
    model = LogisticRegression(C=head.c, class_weight=dict(enumerate(weights.tolist())), max_iter=5000)
    expected = model.fit(z_train, train.targets).predict_proba(z_choose)
    assert head.weight.shape == (classes, WIDTH)
    assert head.weight.dtype == head.bias.dtype == np.float32
    assert np.allclose(softmax(head(choose.features), axis=1), expected, atol=2e-3)
    assert expected.std() > 0.1


def test_a_head_of_several_labels_gives_the_probabilities_of_sklearn() -> None:
    train, choose = labels(300, 1), labels(100, 2)
    head = solve(train, choose, "multi_label", 3, weights=np.array([1, 3, 0.5], np.float32))
    z_train, z_choose = standardised(train, choose)
    for number, weight in enumerate((1, 3, 0.5)):
        model = LogisticRegression(C=head.c, class_weight={0: 1, 1: weight}, max_iter=5000)
        expected = model.fit(z_train, train.targets[:, number] > 0).predict_proba(z_choose)[:, 1]
        assert np.allclose(expit(head(choose.features))[:, number], expected, atol=2e-3)


@pytest.mark.parametrize(("with_it", "logit"), [(300, np.log(301)), (0, -np.log(301))])
def test_a_label_that_every_picture_has_or_none_gets_constant_odds(with_it: int, logit: float) -> None:
    train, choose = labels(300, 1), labels(100, 2)
    train.targets[:, 1] = np.arange(300) < with_it
    head = solve(train, choose, "multi_label", 3)
    assert np.allclose(head(choose.features)[:, 1], logit, atol=1e-5)
    assert head(choose.features)[:, 0].std() > 0.1


@pytest.mark.parametrize(("task", "classes"), [("single_label", 4), ("single_label", 2), ("multi_label", 3)])
def test_the_folded_layer_is_the_layer_on_standardised_features(task: Task, classes: int) -> None:
    make = labels if task == "multi_label" else lambda n, seed: features(n, classes, seed)
    train, choose = make(300, 1), make(100, 2)
    head = solve(train, choose, task, classes)
    _, z = standardised(train, choose)
    std = train.features.std(axis=0)
    on_standardised = z @ (head.weight * std).T + head.bias + head.weight @ train.features.mean(axis=0)
    assert np.allclose(head(choose.features), on_standardised, atol=1e-4)


def test_a_feature_that_hardly_varies_gets_no_huge_weight() -> None:
    train, choose = features(300, 2, 1), features(100, 2, 2)
    for one in (train, choose):
        one.features[:, 3] = 5 + 1e-4 * (one.targets - 0.5)
        one.features[:, 4] = 5
    head = solve(train, choose, "single_label", 2)
    usual = np.abs(head.weight[:, [0, 1, 2, 5]]).max()
    assert np.abs(head.weight[:, 3]).max() < usual
    assert not head.weight[:, 4].any()
    assert np.isfinite(head(choose.features)).all()


def test_halved_features_are_taken_as_the_cache_gives_them() -> None:
    train, choose = features(300, 2, 1), features(100, 2, 2)
    halved = Labelled(choose.features.astype(np.float16), choose.targets)
    head = solve(train, halved, "single_label", 2)
    assert head(halved.features).dtype == np.float32


def test_penalties_are_scored_from_the_strongest_on() -> None:
    train, choose = features(300, 4, 1), features(100, 4, 2)
    told: list[tuple[float, Score]] = []
    head = solve(train, choose, "single_label", 4, progress=lambda c, found: told.append((c, found)))
    assert tuple(c for c, _ in told) == C_GRID == tuple(sorted(C_GRID))
    scores = [found for _, found in told]
    assert head.c == C_GRID[first_within_error(scores)]
    again = score(head(choose.features), choose.targets, TASKS["single_label"], np.ones(4, np.float32))
    assert again.loss == scores[C_GRID.index(head.c)].loss


def test_a_few_choosing_pictures_that_do_not_speak_for_the_best_take_a_stronger_penalty() -> None:
    told: list[Score] = []
    train, choose = features(400, 4, 400, spread=2.0), features(30, 4, 5, spread=2.0)
    head = solve(train, choose, "single_label", 4, progress=lambda _, found: told.append(found))
    best = int(np.argmin([found.loss for found in told]))
    assert head.c < C_GRID[best]


@pytest.mark.parametrize(("choosing", "solved"), [(2_000, 3), (30, 5)])
def test_no_penalty_follows_one_that_is_proven_to_be_too_weak(
    choosing: int, solved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third is worse than the second; thirty pictures do not prove it."""
    grid = (0.01, 0.1, 1.0, 10.0, 100.0)
    monkeypatch.setattr(head_module, "C_GRID", grid)
    train, choose = features(300, 4, 1, spread=2.0), features(2_000, 4, 2, spread=2.0)
    seen = Labelled(choose.features[:choosing], choose.targets[:choosing])
    told: list[tuple[float, float]] = []
    solve(train, seen, "single_label", 4, progress=lambda c, found: told.append((found.loss, c)))
    assert tuple(c for _, c in told) == grid[:solved]
    assert told[2][0] > told[1][0] == min(told)[0]


def few(train_each: int, choose: int, seed: int, rare: int | None = None) -> tuple[Labelled, Labelled]:
    """Draw so many pictures of four classes to train on, of the last one `rare`, and some to choose by."""
    drawn = features(4_000, 4, seed)
    counts = [train_each] * 3 + [train_each if rare is None else rare]
    rows = np.concatenate([np.flatnonzero(drawn.targets == k)[:n] for k, n in enumerate(counts)])
    return Labelled(drawn.features[rows], drawn.targets[rows]), features(choose, 4, seed + 1)


@pytest.mark.parametrize(("pictures", "views", "solved"), [(4, 1, False), (5, 1, True), (4, 3, False)])
def test_below_five_pictures_of_a_class_the_head_is_made_of_centroids(
    pictures: int, views: int, solved: bool
) -> None:
    train, choose = few(pictures, 12, 1)
    rows = Labelled(np.concatenate([train.features] * views), np.concatenate([train.targets] * views))
    assert (solve(rows, choose, "single_label", 4, views=views).c is not None) is solved


def test_centroids_answer_by_the_smallest_angle_from_the_middle_between_the_classes() -> None:
    train, other = few(3, 200, 1)
    head = solve(train, few(3, 8, 1)[1], "single_label", 4)
    assert head.c is None
    means = np.stack([train.features[train.targets == k].mean(axis=0) for k in range(4)])
    middle = means.mean(axis=0)
    unit = (train.features - middle) / np.linalg.norm(train.features - middle, axis=1, keepdims=True)
    centroids = np.stack([unit[train.targets == k].mean(axis=0) for k in range(4)])
    away = other.features - middle
    cosines = (away @ centroids.T) / np.linalg.norm(centroids, axis=1) / np.linalg.norm(away, axis=1)[:, None]
    assert np.array_equal(head(other.features).argmax(axis=1), cosines.argmax(axis=1))
    assert (cosines.argmax(axis=1) == other.targets).mean() > 0.7
    assert np.abs(head(other.features)).max() < 40  # Ten times a cosine, times how far a picture lies out.


def test_one_picture_of_each_class_makes_a_head() -> None:
    train, choose = few(1, 8, 2)
    head = solve(train, choose, "single_label", 4)
    assert (head(train.features).argmax(axis=1) == train.targets).all()


def test_a_class_without_a_picture_is_the_last_answer() -> None:
    train, choose = few(4, 12, 1, rare=0)
    logits = class_centroids(train, 4)(choose.features)
    near = choose.targets != 3
    assert (logits[near].argmax(axis=1) != 3).all()


def test_a_rare_class_among_large_ones_is_no_reason_for_centroids_where_they_are_proven_worse() -> None:
    """One feature is loud and says nothing, which centroids cannot learn from any number of pictures."""
    train, choose = few(300, 200, 1, rare=3)
    for one in (train, choose):
        one.features[:, 0] *= 50
    large = choose.targets != 3
    choose = Labelled(choose.features[large], choose.targets[large])
    assert solve(train, choose, "single_label", 4).c is not None
    few_to_prove = Labelled(choose.features[:19], choose.targets[:19])
    assert solve(train, few_to_prove, "single_label", 4).c is None


def scored(*losses: float) -> Score:
    array = np.array(losses, np.float64)
    return Score(float(array.mean()), array, np.ones(len(array), bool), 1.0, 1.0)


def test_the_first_score_within_one_standard_error_of_the_best_is_chosen() -> None:
    best = scored(1.0, 1.0, 1.0, 1.0)
    clearly_worse = scored(1.0, 1.0, 1.0, 1.4)  # by 0.1 ± 0.087
    hardly_worse = scored(1.0, 1.0, 0.9, 1.4)  # by 0.075 ± 0.096
    assert first_within_error([clearly_worse, best]) == 1
    assert first_within_error([hardly_worse, best]) == 0
    assert first_within_error([clearly_worse, hardly_worse, best, hardly_worse]) == 1
    assert first_within_error([best, clearly_worse]) == 0
    assert first_within_error([best, best]) == 0


def test_the_error_is_that_of_the_paired_difference() -> None:
    """Pictures differ by far more than the models do; unpaired, no difference would show."""
    best = scored(0.0, 1.0, 5.0, 20.0)
    slightly_worse_everywhere = scored(0.1, 1.1, 5.1, 20.11)
    assert first_within_error([slightly_worse_everywhere, best]) == 1
