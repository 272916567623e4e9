"""Recipes: what they refuse, in words, and how a TOML file becomes one."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edgetl.recipe import Recipe, check_keys, read_recipe
from edgetl_runtime.errors import InputError

FIELDS = [field.name for field in fields(Recipe)]
WHOLE = ("size", "epochs", "batch_size", "patience", "seed")
DERIVED = ("size", "crop", "epochs", "target_accuracy", "candidates", "max_latency_ms", "max_size_mb")
AUTO = ("learning_rate", "weight_decay", "label_smoothing", "mixup", "l2_sp")
# What a TOML file or a caller may give for any field, and no field takes.
NONSENSE = [True, "seven", (0.5,), [1], {"a": 1}, b"x", float("nan"), float("inf"), -1, 10**400]
EDGES = [
    ("size", 32, 1024),
    ("crop", 0.1, 1.0),
    ("epochs", 1, 1000),
    ("batch_size", 2, 4096),
    ("learning_rate", 1e-7, 10.0),
    ("decay", 1.0, 100.0),
    ("weight_decay", 0.0, 1.0),
    ("label_smoothing", 0.0, 0.9),
    ("mixup", 0.0, 10.0),
    ("l2_sp", 0.0, 10.0),
    ("dropout", 0.0, 0.9),
    ("patience", 0, 1000),
    ("target_accuracy", 0.0, 1.0),
    ("max_latency_ms", 1e-3, 1e6),
    ("max_size_mb", 1e-3, 1e6),
    ("warmup", 0.0, 0.9),
    ("ema", 0.0, 0.99999),
    ("time_budget_s", 1.0, 1e7),
    ("seed", 0, 2**31 - 1),
]


def recipe(name: str, value: Any) -> Recipe:
    return Recipe(**{name: value})


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults_hold() -> None:
    assert Recipe().to_json()["backbone"] == "efficientnet_lite0"


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: repr(value)[:12])
def test_nonsense_is_refused_by_name_in_every_field(name: str, value: Any) -> None:
    if value == "seven" and name in ("backbone", "weights"):
        assert getattr(recipe(name, value), name) == "seven"
        return
    with pytest.raises(InputError, match=rf"^Recipe\.{name} must be "):
        recipe(name, value)


@pytest.mark.parametrize("name", FIELDS)
def test_none_is_only_for_what_can_be_derived(name: str) -> None:
    if name in DERIVED:
        assert getattr(recipe(name, None), name) is None
    else:
        with pytest.raises(InputError, match=rf"^Recipe\.{name} must be .*got None"):
            recipe(name, None)


@pytest.mark.parametrize(("name", "low", "high"), EDGES)
def test_a_range_includes_its_ends_and_nothing_beyond(name: str, low: float, high: float) -> None:
    step = 1 if name in WHOLE else 1e-9 * max(1, high)
    assert (getattr(recipe(name, low), name), getattr(recipe(name, high), name)) == (low, high)
    for value in (low - step, high + step):
        with pytest.raises(InputError, match=rf"Recipe\.{name} must be a (whole )?number in \["):
            recipe(name, value)


@pytest.mark.parametrize("name", WHOLE)
def test_a_fraction_is_refused_where_a_whole_number_is_wanted(name: str) -> None:
    with pytest.raises(InputError, match=rf"^Recipe\.{name} must be a whole number in .*, got 64\.0\.$"):
        recipe(name, 64.0)


@pytest.mark.parametrize("name", ["crop", "learning_rate", "decay", "weight_decay", "time_budget_s"])
def test_a_whole_number_is_taken_where_a_fraction_is_wanted(name: str) -> None:
    assert getattr(recipe(name, 1), name) == 1


def test_a_range_is_written_out() -> None:
    with pytest.raises(
        InputError, match=r"^Recipe\.seed must be a whole number in \[0, 2147483647\], got -3\.$"
    ):
        Recipe(seed=-3)


@pytest.mark.parametrize("steps", [(2, 2), (3, 1), (0,), (0, 1), (-1,), (1.0,), (True,), 2, "2,3", ((1,),)])
def test_steps_that_do_not_rise_from_one_are_refused(steps: Any) -> None:
    with pytest.raises(
        InputError, match=r"^Recipe\.unfreeze must be one of .* or rising whole numbers from 1"
    ):
        Recipe(unfreeze=steps)


def test_no_steps_keep_the_head_alone() -> None:
    assert Recipe(unfreeze=()).unfreeze == ()


def test_unknown_keys_are_refused_and_the_known_ones_listed() -> None:
    with pytest.raises(InputError) as caught:
        check_keys({"size": 64, "sise": 64, "lr": 1}, "my.toml")
    assert str(caught.value) == f"my.toml has unknown keys ['lr', 'sise']; a recipe has {', '.join(FIELDS)}."


def test_a_file_gives_every_field(tmp_path: Path) -> None:
    given = Recipe(
        backbone="timm/resnet18",
        weights='my "own"\\weights\tand ü.pt',
        size=96,
        crop=0.9,
        views="flips",
        augment="trivial",
        unfreeze=(1, 3),
        epochs=4,
        batch_size=16,
        learning_rate=1e-3,
        decay=2.0,
        weight_decay=0.1,
        label_smoothing=0.0,
        mixup=0.3,
        l2_sp=0.2,
        dropout=0.4,
        warmup=0.2,
        ema=0.5,
        patience=7,
        precision="bf16",
        class_weights="none",
        target_accuracy=0.9,
        candidates=("a", "b"),
        max_latency_ms=5.0,
        max_size_mb=8.0,
        time_budget_s=60.0,
        seed=7,
    )
    assert Recipe(**read_recipe(write(tmp_path / "r.toml", given.to_toml()))) == given
    assert all(getattr(given, name) != getattr(Recipe(), name) for name in FIELDS)


@pytest.mark.parametrize("unfreeze", ["output", "input", "middle", "auto", ()])
def test_what_is_left_open_survives_the_file(unfreeze: Any, tmp_path: Path) -> None:
    given = Recipe(unfreeze=unfreeze, target_accuracy=0.5)
    assert Recipe(**read_recipe(write(tmp_path / "r.toml", given.to_toml()))) == given


@pytest.mark.parametrize("name", FIELDS)
def test_auto_is_a_word_where_something_can_be_chosen_for_us(name: str) -> None:
    words = (*AUTO, "augment", "unfreeze", "precision", "class_weights", "backbone", "weights")
    if name in words:
        assert getattr(recipe(name, "auto"), name) == "auto"
    else:
        with pytest.raises(InputError, match=rf"^Recipe\.{name} must be "):
            recipe(name, "auto")


@pytest.mark.parametrize("weights", ["none", "network.safetensors"])
def test_a_backbone_that_is_to_be_found_has_the_weights_that_it_is_measured_with(weights: str) -> None:
    with pytest.raises(InputError, match=r"^Recipe\.weights must be 'default' .*name the backbone that they"):
        Recipe(backbone="auto", weights=weights)
    assert Recipe(backbone="auto", weights="default").backbone == "auto"


def test_candidates_are_names() -> None:
    assert Recipe(candidates=()).candidates == ()
    with pytest.raises(InputError, match=r"^Recipe\.candidates must be names of backbones, got \(1,\)\.$"):
        Recipe(candidates=(1,))


@pytest.mark.parametrize(
    "text",
    ["size = ", "size = 1\nsize = 2", "a = " + "[" * 5000, f"seed = {'9' * 5000}", "[recipe]\nsize = 64"],
    ids=["half", "twice", "deep", "long", "table"],
)
def test_a_file_that_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.toml"):
        read_recipe(write(tmp_path / "r.toml", text))


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path / "r.toml", "\ufeffsize = 128\r\n")) == {"size": 128}


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"backbone = '\xe4'")
    for name in ("missing.toml", "latin.toml", "."):
        with pytest.raises(InputError, match="cannot be read"):
            read_recipe(tmp_path / name)


@pytest.mark.parametrize("line", ["size = 1979-05-27", "views = 3", "unfreeze = [[1]]", "unfreeze = ['1']"])
def test_a_type_that_only_toml_has_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^Recipe\.{line.split()[0]} must be "):
        Recipe(**read_recipe(write(tmp_path / "r.toml", line)))


@pytest.mark.parametrize(
    ("name", "value"), [("weights", "w\udce9"), ("backbone", "r\udce9"), ("candidates", ("r\udce9",))]
)
def test_a_name_that_no_toml_can_hold_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^Recipe\.{name} must be .*udce9"):
        recipe(name, value)
