import json

import pytest

from edgetl_runtime.errors import BundleError, InputError, ReceiptError
from edgetl_runtime.strict_json import Fields, _object_without_doubles, canonical, check, parse, well_formed


def fields(text: str, *keys: str) -> Fields:
    return Fields(parse(text, "thing", InputError), "thing", keys, InputError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "thing is not valid JSON: Expecting value: line 1 column 1 (char 0)."),
        ('{"a": 1, "a": 2}', "thing is not valid JSON: the key 'a' appears twice in one object."),
        ('{"a": NaN}', "thing.a must be a finite number, got nan."),
        ('{"a": [0, 1e999]}', "thing.a[1] must be a finite number, got inf."),
        ('{"a": 9007199254740993}', "thing.a must be a whole number within ±2^53."),
        ('{"a": "\\ud800"}', "thing.a must be valid Unicode."),
        ('{"\\ud800": 1}', "thing has the key '\\ud800'; a key must be valid text."),
        ("[" * 33 + "]" * 33, "is nested too deeply; at most 32 levels are allowed."),
        ("[" * 200_000, "thing is nested too deeply; at most 32 levels are allowed."),
        ("9" * 5000, "thing is not valid JSON: Exceeds the limit"),
    ],
)
def test_text_that_would_not_mean_the_same_everywhere_is_refused(text: str, message: str) -> None:
    with pytest.raises(ReceiptError) as error:
        parse(text, "thing", ReceiptError)
    assert message in str(error.value)


def test_thirty_two_levels_are_allowed() -> None:
    assert parse("[" * 32 + "]" * 32, "thing", InputError) == json.loads("[" * 32 + "]" * 32)


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, {"a": b"x"}, {"a": object}])
def test_a_value_that_json_would_change_is_refused(value: object) -> None:
    with pytest.raises(BundleError):
        check(value, "thing", BundleError)


def test_unknown_and_missing_keys_are_named_with_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        fields('{"siez": 1}', "size", "name")
    assert str(error.value) == "thing has unknown keys ['siez']; known are 'size', 'name'."
    with pytest.raises(InputError) as error:
        fields("{}", "size", "name")
    assert str(error.value) == "thing lacks 'size', 'name'."
    with pytest.raises(InputError) as error:
        fields("[1]", "size")
    assert str(error.value) == "thing must be an object, got [1]."


@pytest.mark.parametrize(
    ("method", "value", "wanted"),
    [
        ("text", 1, "a string"),
        ("integer", 1.0, "a whole number"),
        ("integer", True, "a whole number"),
        ("number", "1", "a number"),
        ("number", False, "a number"),
        ("optional_number", [], "a number"),
        ("object", [], "an object"),
        ("list", {}, "a list"),
        ("items", None, "a list"),
        ("texts", ["a", 1], "a list of strings"),
        ("numbers", [1, True], "a list of numbers"),
    ],
)
def test_a_wrong_type_is_named(method: str, value: object, wanted: str) -> None:
    with pytest.raises(InputError) as error:
        getattr(fields(json.dumps({"a": value}), "a"), method)("a")
    assert str(error.value) == f"thing.a must be {wanted}, got {value!r}."


def test_right_types_come_back_as_they_are() -> None:
    read = fields('{"a": 1, "b": ["x", "y"], "c": [1, 2.5], "d": null, "e": {"f": null}}', *"abcde")
    assert (read.integer("a"), read.number("a"), read.optional_number("d")) == (1, 1.0, None)
    assert (read.texts("b"), read.numbers("c")) == (("x", "y"), (1.0, 2.5))
    assert list(read.items("b")) == [("thing.b[0]", "x"), ("thing.b[1]", "y")]
    assert (read.object("e"), read.value("d")) == ({"f": None}, None)


def test_a_choice_names_what_is_allowed() -> None:
    read = fields('{"a": "cat", "b": []}', "a", "b")
    assert read.choice("a", ("dog", "cat")) == "cat"
    with pytest.raises(InputError) as error:
        read.choice("b", ("dog", "cat"))
    assert str(error.value) == "thing.b must be one of 'dog', 'cat', got []."


def test_a_hostile_value_cannot_flood_a_message() -> None:
    with pytest.raises(InputError) as error:
        fields(json.dumps({"a": ["x" * 1000] * 1000}), "a").text("a")
    assert len(str(error.value)) < 2000


def test_equal_values_have_one_text() -> None:
    assert canonical({"b": (1.0, -0.0, 0.5, 1e300), "a": "ä"}) == (
        '{\n  "a": "ä",\n  "b": [\n    1,\n    0,\n    0.5,\n    1e+300\n  ]\n}\n'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_a_key_twice_among_many_is_found_by_looking_at_each_once() -> None:
    compared = 0

    class Counted(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    keys = [Counted(number) for number in range(2_000)]
    with pytest.raises(ValueError, match="the key '1999' appears twice in one object"):
        _object_without_doubles([(key, None) for key in (*keys, Counted(1_999))])
    assert compared < 2 * len(keys)


def test_the_name_of_a_file_that_is_no_utf_8_becomes_text_that_passes() -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    with pytest.raises(InputError, match="must be valid Unicode"):
        check(name, "name", InputError)
    check(well_formed(name), "name", InputError)
    assert well_formed(name) == r"caf\udce9.jpg"
    assert well_formed("café 青") == "café 青"
