"""Shares as people write them: percentage points, percent or a ratio. Knows nothing of what they are of."""

from edgetl_runtime.errors import InputError


def parse_points(text: str, what: str = "A margin") -> float:
    """Return a share from percentage points, `0.5pp` or `0.5%`, or from a ratio, `0.005`.

    `what` is the subject of the messages.
    """
    number = text.strip().removesuffix("pp").removesuffix("%")
    has_unit = number != text.strip()
    try:
        value = float(number)
    except ValueError:
        raise InputError(f"{what} must be like 0.5pp, 0.5% or 0.005, got {text!r}.") from None
    if not has_unit and value >= 0.1:
        raise InputError(
            f"{what} of {text!r} would be {100 * value:g} percentage points. Write {text.strip()}pp, or "
            f"{100 * value:g}pp if so many are meant."
        )
    return round(value / 100, 12) if has_unit else value
