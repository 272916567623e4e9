"""Settings: flags and files become a recipe."""

from pathlib import Path

import pytest

from edgetl.cli.settings import check_source, parse_unfreeze, resolve_recipe
from edgetl.recipe import Recipe
from edgetl_runtime.errors import InputError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = write(tmp_path / "r.toml", "size = 96\nseed = 3\nunfreeze = []\n")
    found = resolve_recipe(path, {"seed": 4, "size": None, "epochs": None})
    assert found == Recipe(size=96, seed=4, unfreeze=())


def test_without_file_and_flags_there_are_defaults() -> None:
    assert resolve_recipe(None, {"seed": None}) == Recipe()


def test_steps_may_come_as_a_flag_or_as_a_list(tmp_path: Path) -> None:
    path = write(tmp_path / "r.toml", "unfreeze = [1, 2]")
    assert resolve_recipe(path, {"unfreeze": None}).unfreeze == (1, 2)
    assert resolve_recipe(path, {"unfreeze": "3"}).unfreeze == (3,)
    assert resolve_recipe(path, {"unfreeze": "0"}).unfreeze == ()


@pytest.mark.parametrize(
    ("text", "steps"), [("2,3,9", (2, 3, 9)), (" 4 ", (4,)), ("0", ()), ("auto", "auto")]
)
def test_a_flag_lists_steps(text: str, steps: tuple[int, ...]) -> None:
    assert parse_unfreeze(text) == steps


@pytest.mark.parametrize("text", ["", "2,", "two", "1.5"])
def test_a_flag_that_lists_no_numbers_is_refused(text: str) -> None:
    with pytest.raises(
        InputError, match=r"--unfreeze must be one of output, .* or whole numbers such as 2,3,9"
    ):
        parse_unfreeze(text)


def test_a_number_or_the_word_auto_may_come_as_a_flag() -> None:
    found = resolve_recipe(None, {"learning_rate": "0.001", "mixup": "auto", "candidates": "a, b"})
    assert (found.learning_rate, found.mixup, found.candidates) == (0.001, "auto", ("a", "b"))
    with pytest.raises(InputError, match=r"^--l2-sp must be auto or a number such as 0\.001, got 'much'\.$"):
        resolve_recipe(None, {"l2_sp": "much"})


def test_a_source_is_one_of_three_or_all() -> None:
    assert [check_source(name) for name in ("lite", "torchvision", "timm", None)] == [
        "lite",
        "torchvision",
        "timm",
        None,
    ]
    with pytest.raises(InputError, match=r"^--source must be one of lite, torchvision, timm, got 'hub'\.$"):
        check_source("hub")
