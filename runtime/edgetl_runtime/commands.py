"""What the commands of both command lines do: plain arguments in, results out; nothing is parsed or printed.

`edgetl-runtime` and `edgetl` call the same functions. Whatever costs time to import is imported where it is
used, so that a command line can print its help at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.errors import InputError, PictureError

if TYPE_CHECKING:
    from edgetl_runtime.manifest import Manifest
    from edgetl_runtime.pictures import Progress
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.session import Prediction, Session
    from edgetl_runtime.verdict import Verdict

__all__ = ["Answer", "Answers", "parse_points", "run_check", "run_info", "run_predict", "run_validate"]

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """One picture: its prediction, or the error that prevented one."""

    picture: Path
    prediction: Prediction | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one variant on one device, in the order of the pictures."""

    variant: str
    device: str
    classes: tuple[str, ...]
    answers: tuple[Answer, ...]


def _silent(note: str) -> None:
    """Tell nobody."""


def run_predict(
    bundle: Path,
    pictures: Sequence[Path],
    *,
    variant: str = "auto",
    device: str = "cpu",
    notify: Notify = _silent,
) -> Answers:
    """Predict pictures; one that cannot be used does not stop the others.

    Args:
        variant: A name, or "auto": the first in the manifest's order whose engine is installed.
        notify: Is told of each variant that was preferred and could not be used.
    """
    with _opened(bundle, variant, device, notify) as session:
        answers = tuple(_answer(session, picture) for picture in pictures)
        return Answers(session.variant.name, session.device, session.labels, answers)


def run_validate(
    bundle: Path,
    data: Path,
    *,
    variant: str = "auto",
    device: str = "cpu",
    split: str = "test",
    limit: int | None = None,
    max_unreadable: float = 0.05,
    progress: Progress | None = None,
    notify: Notify = _silent,
) -> Receipt:
    """Measure a bundle on labelled pictures; see `run_predict` and `validate` for the arguments."""
    from edgetl_runtime.validation import validate

    with _opened(bundle, variant, device, notify) as session:
        return validate(
            session, data, split=split, limit=limit, max_unreadable=max_unreadable, progress=progress
        )


def run_check(baseline: Path, candidate: Path, *, margin: float = 0.005) -> Verdict:
    """Hold the candidate's receipt against the baseline's; `margin` is a ratio."""
    from edgetl_runtime.gating import gate
    from edgetl_runtime.receipt import Receipt

    return gate(Receipt.read(baseline), Receipt.read(candidate), margin=margin)


def run_info(bundle: Path) -> Manifest:
    """Return the manifest of a bundle, every file of which was verified."""
    from edgetl_runtime.bundle import Bundle

    with Bundle.open(bundle) as opened:
        return opened.manifest


def parse_points(text: str) -> float:
    """Return a share from percentage points, `0.5pp` or `0.5%`, or from a ratio, `0.005`."""
    number = text.strip().removesuffix("pp").removesuffix("%")
    has_unit = number != text.strip()
    try:
        value = float(number)
    except ValueError:
        raise InputError(f"A margin must be like 0.5pp, 0.5% or 0.005, got {text!r}.") from None
    if not has_unit and value >= 0.1:
        raise InputError(
            f"A margin of {text!r} would be {100 * value:g} percentage points. Write {text.strip()}pp, or "
            f"{100 * value:g}pp if so many are meant."
        )
    return round(value / 100, 12) if has_unit else value


@contextmanager
def _opened(bundle: Path, variant: str, device: str, notify: Notify) -> Iterator[Session]:
    from edgetl_runtime.session import Session

    with Session.open(bundle, variant=variant, device=device) as session:
        for skipped in session.skipped:
            notify(f"variant {skipped.variant!r} was skipped: {skipped.reason}")
        yield session


def _answer(session: Session, picture: Path) -> Answer:
    try:
        return Answer(picture, session.predict(picture))
    except PictureError as error:
        return Answer(picture, None, str(error))
