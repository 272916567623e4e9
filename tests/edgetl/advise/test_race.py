"""The race: the worse half goes, and time ends it with what is known."""

import time

from edgetl.advise.probe import Probed, gain
from edgetl.advise.race import race

RUN: list[tuple[str, int]] = []


def trial(losses: dict[str, float], takes: float = 0.0) -> object:
    RUN.clear()

    def run(name: str, epochs: int, seconds: float) -> Probed:
        RUN.append((name, epochs))
        time.sleep(takes)
        shown = {f"{n}": losses[name] / epochs + 0.01 * n for n in range(4)}
        return Probed(shown, 1 - losses[name], max(takes, 0.001), ("head",))

    return run


def noisy(first: dict[str, list[float]], second: dict[str, list[float]] | None = None) -> object:
    """Give each backbone its own losses, picture by picture; in the second round others, where they are."""

    def run(name: str, epochs: int, seconds: float) -> Probed:
        RUN.append((name, epochs))
        losses = first if epochs == 2 or second is None else second
        return Probed({f"{n}": loss for n, loss in enumerate(losses[name])}, 0.5, 0.001, ("head",))

    RUN.clear()
    return run


def test_two_of_three_go_on_and_who_proves_itself_in_the_second_round_wins() -> None:
    first = {"a": [0.5, 0.5, 0.5, 0.5], "b": [0.9, 0.9, 0.9, 0.9], "c": [0.2, 0.2, 0.2, 1.0]}
    second = {"a": [0.4, 0.4, 0.4, 0.4], "c": [0.1, 0.2, 0.1, 0.2]}
    found = race(["a", "b", "c"], noisy(first, second), 60)
    assert RUN == [("a", 2), ("b", 2), ("c", 2), ("a", 4), ("c", 4)]
    assert found.order == ("c", "a", "b")
    assert [(lap.name, lap.round) for lap in found.laps][3:] == [("a", 2), ("c", 2)]
    assert found.lead is not None
    assert found.lead.proven
    assert round(found.lead.value, 6) == 0.25
    assert found.stopped == ""


def test_the_ranking_stands_until_a_gain_is_proven() -> None:
    """Both challengers have the lower loss: b by luck on one picture, c on all of them."""
    losses = {"a": [1.0, 1.0, 1.0, 1.0], "b": [1.1, 1.1, 1.1, 0.0], "c": [0.9, 0.8, 0.9, 0.8]}
    found = race(["a", "b"], noisy(losses), 60)
    assert found.order == ("a", "b")
    assert found.lead is not None
    assert found.lead.value < 0
    assert race(["a", "c"], noisy(losses), 60).order == ("c", "a")
    # Of the two that lost to c, b did for lack of proof and a for sure.
    assert race(["a", "b", "c"], noisy(losses), 60).order == ("c", "b", "a")


def test_the_winner_needs_no_proof_against_those_that_are_no_favourites() -> None:
    """b and c are both proven against a and not against one another: the lower loss goes first."""
    losses = {"a": [1.0, 1.0, 1.0, 1.0], "b": [0.9, 0.8, 0.9, 0.8], "c": [0.8, 0.85, 0.8, 0.85]}
    assert race(["a", "b", "c"], noisy(losses), 60).order == ("c", "b", "a")


def test_who_is_proven_worse_is_not_raced_again() -> None:
    """a leads for sure over b, and not over c, whose loss is twice as low on half of the pictures."""
    losses = {"a": [1.0, 1.0, 1.0, 1.0], "b": [1.5, 1.6, 1.5, 1.6], "c": [0.5, 0.5, 1.6, 1.6]}
    found = race(["a", "b", "c"], noisy(losses), 60)
    assert RUN == [("a", 2), ("b", 2), ("c", 2), ("a", 4), ("c", 4)]
    assert found.order == ("a", "c", "b")
    race(["a", "b"], noisy(losses), 60)
    assert RUN == [("a", 2), ("b", 2)]


def test_one_backbone_needs_no_race() -> None:
    assert race(["a"], trial({"a": 0.5}), 60).order == ("a",)
    assert RUN == []


def test_a_race_without_time_keeps_the_ranking() -> None:
    found = race(["a", "b"], trial({"a": 0.5, "b": 0.1}), 0)
    assert (found.order, found.laps, found.lead) == (("a", "b"), (), None)
    assert found.stopped == "0 s for the race are used up"


def test_a_second_round_that_would_not_fit_is_not_begun() -> None:
    found = race(["a", "b", "c"], trial({"a": 0.2, "b": 0.2, "c": 0.2}, takes=0.6), 3)
    assert len(RUN) == 3
    assert found.order == ("a", "b", "c")
    assert found.stopped


def test_one_picture_proves_nothing() -> None:
    assert not gain(Probed({"x": 0.1}, 1.0, 1.0, ()), Probed({"x": 0.9}, 1.0, 1.0, ())).proven


def test_a_gain_is_paired_by_picture() -> None:
    one = Probed({"x": 0.1, "y": 1.1}, 1.0, 1.0, ())
    other = Probed({"y": 1.3, "x": 0.3}, 1.0, 1.0, ())
    found = gain(one, other)
    assert round(found.value, 9) == 0.2
    assert found.error < 1e-9
    assert found.proven
