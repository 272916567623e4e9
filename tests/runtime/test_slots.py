"""The pointer file of a folder of slots."""

import json

import pytest

from edgetl_runtime.errors import BundleError
from edgetl_runtime.slots import Pointer, Slot, find_pointer, is_slots, read_pointer, write_pointer

A, B = Slot("a", "1" * 64), Slot("b", "2" * 64)


@pytest.mark.parametrize("pointer", [Pointer(A, None), Pointer(B, A)])
def test_a_pointer_comes_back_equal(tmp_path, pointer):
    assert not is_slots(tmp_path)
    write_pointer(tmp_path, pointer)
    assert is_slots(tmp_path)
    assert read_pointer(tmp_path) == pointer


def test_the_spare_slot_is_the_other_one():
    assert (Pointer(A, None).spare, Pointer(B, None).spare) == ("b", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{}", "lacks 'format_version', 'current', 'previous'"),
        (json.dumps({"format_version": 2, "current": None, "previous": None}), "has format version 2"),
        (json.dumps({"format_version": 0, "current": None, "previous": None}), "format_version must be 1"),
        (json.dumps({"format_version": 1, "current": None, "previous": None}), "current must be an object"),
        (
            json.dumps({"format_version": 1, "current": {"name": "../x", "id": "1" * 64}, "previous": None}),
            "current.name must be one of 'a', 'b'",
        ),
        (
            json.dumps({"format_version": 1, "current": {"name": "a", "id": "1"}, "previous": None}),
            "Slot.id must be 64 hex digits",
        ),
        (
            json.dumps(
                {
                    "format_version": 1,
                    **{key: {"name": "a", "id": "1" * 64} for key in ("current", "previous")},
                }
            ),
            "previous must be another slot than 'a'",
        ),
        (" " * 4_097, "at most 4096 bytes"),
    ],
)
def test_a_damaged_pointer_is_refused(tmp_path, text, message):
    (tmp_path / "slots.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=message):
        read_pointer(tmp_path)


def test_what_is_damaged_or_missing_names_no_slot_and_what_is_newer_is_refused(tmp_path):
    assert find_pointer(tmp_path) is None
    (tmp_path / "slots.json").write_text("{", encoding="utf-8")
    assert find_pointer(tmp_path) is None
    (tmp_path / "slots.json").write_text('{"format_version": 2}', encoding="utf-8")
    with pytest.raises(BundleError, match="this edgetl reads 1"):
        find_pointer(tmp_path)
    write_pointer(tmp_path, Pointer(B, A))
    assert find_pointer(tmp_path) == Pointer(B, A)


def test_a_pointer_that_cannot_be_read_says_what_to_run(tmp_path):
    with pytest.raises(BundleError, match="Run: edgetl-runtime install"):
        read_pointer(tmp_path)
    (tmp_path / "slots.json").write_bytes(b"\xff")
    with pytest.raises(BundleError, match=r"has no usable slots\.json"):
        read_pointer(tmp_path)
