"""Reads JSON that others wrote: keys, types, numbers and depth are checked, and complaints name their place.

Knows nothing about bundles or receipts: the caller names the keys, and the error to raise.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from reprlib import Repr
from typing import NoReturn, TypeAlias, TypeGuard, TypeVar

from edgetl_runtime.errors import InputError

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Choice = TypeVar("Choice", bound=str)

MAX_DEPTH = 32
MAX_INTEGER = 2**53

_BRIEF = Repr()
_BRIEF.maxstring = _BRIEF.maxother = 200
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(text: str, where: str, error: type[InputError]) -> JSON:
    """Return the value of a JSON text.

    Args:
        where: what the text is, for messages: "manifest.json".

    Raises:
        error: not JSON, a key twice in one object, or a value that `check` refuses.
    """
    try:
        value: JSON = json.loads(text, object_pairs_hook=_object_without_doubles)
    except RecursionError:
        raise error(f"{where} is nested too deeply; at most {MAX_DEPTH} levels are allowed.") from None
    except ValueError as problem:
        raise error(f"{where} is not valid JSON: {problem}.") from None
    check(value, where, error)
    return value


def check(value: object, where: str, error: type[InputError]) -> None:
    """Raise `error` unless `value` comes back equal from JSON, on every platform and in every language.

    So: None, bool, int within ±2^53, finite float, str without lone surrogates, list, dict with str keys,
    at most 32 deep. A tuple is refused, as it would come back as a list.
    """
    complaint = _complaint(value, 1)
    if complaint:
        place, what = complaint
        raise error(f"{where}{place} {what}.")


def canonical(value: object) -> str:
    """Return the one text of a value that holds dict, list, tuple and scalars: equal values give equal texts.

    1.0 is written as 1, since they are equal and many languages know no difference.
    """
    whole = _with_whole_numbers(value)
    return json.dumps(whole, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def well_formed(text: str) -> str:
    r"""Return a text that JSON can hold: the bytes of a file's name that are no UTF-8 show as `\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def brief(value: object) -> str:
    """Return `repr(value)`, shortened so that a hostile value cannot flood a message."""
    return _BRIEF.repr(value)


class Fields:
    """One JSON object being read into a dataclass: all keys are known, and all but optional ones there."""

    def __init__(
        self,
        value: JSON,
        where: str,
        keys: Iterable[str],
        error: type[InputError],
        *,
        optional: Iterable[str] = (),
    ) -> None:
        self.where = where
        self._error = error
        may_lack = frozenset(optional)
        if not isinstance(value, dict):
            raise error(f"{where} must be an object, got {brief(value)}.")
        self._value = value
        known = list(keys)
        unknown = sorted(value.keys() - set(known))
        if unknown:
            listed = ", ".join(map(repr, known))
            raise error(f"{where} has unknown keys {brief(unknown)}; known are {listed}.")
        missing = [key for key in known if key not in value and key not in may_lack]
        if missing:
            raise error(f"{where} lacks {', '.join(map(repr, missing))}.")

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def value(self, key: str) -> JSON:
        """Return whatever is there, for a reader of its own."""
        return self._value[key]

    def text(self, key: str) -> str:
        """Return a string."""
        value = self._value[key]
        if not isinstance(value, str):
            self._refuse(key, "a string", value)
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None for null and for an optional key that is not there."""
        return None if self._value.get(key) is None else self.text(key)

    def integer(self, key: str) -> int:
        """Return a whole number, written without fraction and exponent."""
        value = self._value[key]
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(key, "a whole number", value)
        return value

    def number(self, key: str) -> float:
        """Return a number."""
        value = self._value[key]
        if not _is_number(value):
            self._refuse(key, "a number", value)
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """Return a number, or None for null and for an optional key that is not there."""
        return None if self._value.get(key) is None else self.number(key)

    def optional_integer(self, key: str) -> int | None:
        """Return a whole number, or None for null and for an optional key that is not there."""
        return None if self._value.get(key) is None else self.integer(key)

    def optional_truth(self, key: str) -> bool | None:
        """Return true or false, or None for null and for an optional key that is not there."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, bool):
            self._refuse(key, "true, false or null", value)
        return value

    def choice(self, key: str, allowed: tuple[Choice, ...]) -> Choice:
        """Return one of the allowed strings."""
        value = self._value[key]
        found = next((one for one in allowed if one == value), None)
        if found is None:
            self._refuse(key, "one of " + ", ".join(map(repr, allowed)), value)
        return found

    def object(self, key: str) -> dict[str, JSON]:
        """Return an object whose keys are free."""
        value = self._value[key]
        if not isinstance(value, dict):
            self._refuse(key, "an object", value)
        return value

    def list(self, key: str) -> list[JSON]:
        """Return a list of anything."""
        value = self._value[key]
        if not isinstance(value, list):
            self._refuse(key, "a list", value)
        return value

    def items(self, key: str) -> Iterator[tuple[str, JSON]]:
        """Yield the items of a list, each after its place, ready for `Fields` of their own."""
        return ((f"{self.where}.{key}[{number}]", item) for number, item in enumerate(self.list(key)))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings as tuple."""
        found = tuple(item for item in self.list(key) if isinstance(item, str))
        if len(found) != len(self.list(key)):
            self._refuse(key, "a list of strings", self._value[key])
        return found

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers as tuple."""
        found = tuple(float(item) for item in self.list(key) if _is_number(item))
        if len(found) != len(self.list(key)):
            self._refuse(key, "a list of numbers", self._value[key])
        return found

    def _refuse(self, key: str, allowed: str, value: JSON) -> NoReturn:
        raise self._error(f"{self.where}.{key} must be {allowed}, got {brief(value)}.")


def _is_number(value: JSON) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _with_whole_numbers(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_whole_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    return value


def _object_without_doubles(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {brief(key)} appears twice in one object")
        found[key] = value
    return found


def _complaint(value: object, depth: int) -> tuple[str, str] | None:
    """Return the place and what is wrong there, or None."""
    if depth > MAX_DEPTH:
        return "", f"is nested too deeply; at most {MAX_DEPTH} levels are allowed"
    if type(value) is dict:
        return _complaint_of_object(value, depth)
    if type(value) is list:
        for number, item in enumerate(value):
            if complaint := _complaint(item, depth + 1):
                return f"[{number}]{complaint[0]}", complaint[1]
        return None
    return _complaint_of_scalar(value)


def _complaint_of_object(value: dict[object, object], depth: int) -> tuple[str, str] | None:
    for key, item in value.items():
        if not isinstance(key, str) or _LONE_SURROGATE.search(key):
            return "", f"has the key {brief(key)}; a key must be valid text"
        if complaint := _complaint(item, depth + 1):
            return f".{brief(key)[1:-1]}{complaint[0]}", complaint[1]
    return None


def _complaint_of_scalar(value: object) -> tuple[str, str] | None:
    if value is None or type(value) is bool:
        return None
    if type(value) is str:
        return ("", "must be valid Unicode") if _LONE_SURROGATE.search(value) else None
    if type(value) is int:
        return None if abs(value) <= MAX_INTEGER else ("", "must be a whole number within ±2^53")
    if type(value) is float:
        return None if math.isfinite(value) else ("", f"must be a finite number, got {value!r}")
    return "", f"must be a JSON value, got {type(value).__name__} {brief(value)}"
