"""One pass of a session over labelled pictures: each once, alone, timed by stage, and kept in a journal.

Knows what was answered and how long it took, and nothing about figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl_runtime.confidence import without_temperature
from edgetl_runtime.environment import read_cores
from edgetl_runtime.errors import ContractError, PictureError
from edgetl_runtime.journal import STAGES, Entry, Journal
from edgetl_runtime.meters import Meters
from edgetl_runtime.pacing import REAL, Pace, Timing
from edgetl_runtime.performance import Performance
from edgetl_runtime.pictures import Picture, Unreadable
from edgetl_runtime.prediction import MULTI_LABEL_THRESHOLD
from edgetl_runtime.predictions import MAX_PROBABILITY_CLASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.decode import PictureSource
    from edgetl_runtime.pictures import Progress
    from edgetl_runtime.session import Session

_ROUNDING = 0.01  # bf16 makes probabilities like 1.004


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What one pass gave, in the order of the pictures that could be decoded.

    predicted: (n,) integers, or of several labels (n, classes) bool. confidence: (n,) float64, 0–1.
    untempered: (n,) float64, the confidence without the temperature, of one label a picture.
    shares: (n, classes) float32, 0–1, or None where they are too many to keep. times_ms: (n, 4) float64,
    decode, resize, infer and outputs. notes: what a reader of the figures should know of the pass.
    """

    pictures: list[Picture]
    unreadable: list[Unreadable]
    predicted: NDArray[Any]
    confidence: NDArray[np.float64]
    untempered: NDArray[np.float64]
    shares: NDArray[np.float32] | None
    times_ms: NDArray[np.float64]
    performance: Performance
    notes: tuple[str, ...] = ()


class _Columns:
    """The pictures that could be decoded, and the numbers of each, one row after the other."""

    def __init__(self, most: int, session: Session) -> None:
        classes, self._several = len(session.labels), session.manifest.task == "multi_label"
        self.predicted = np.zeros((most, classes), bool) if self._several else np.zeros(most, np.int64)
        self.confidence, self.untempered = np.empty((2, most))
        kept = classes <= MAX_PROBABILITY_CLASSES
        self.shares = np.empty((most, classes), np.float32) if kept else None
        self.times_ms = np.empty((most, STAGES))
        self._pictures: list[Picture] = []
        self._unreadable: list[Unreadable] = []

    def put(self, picture: Picture, entry: Entry) -> None:
        if entry.unreadable:
            self._unreadable.append(Unreadable(picture.path, entry.unreadable))
            return
        row = len(self._pictures)
        self._pictures.append(picture)
        self.confidence[row], self.untempered[row] = entry.confidence, entry.untempered
        self.times_ms[row] = entry.times_ms
        if self._several:
            self.predicted[row, list(entry.predicted)] = True
        else:
            (self.predicted[row],) = entry.predicted
        if self.shares is not None:
            self.shares[row] = entry.shares

    def measured(self, performance: Performance, notes: tuple[str, ...] = ()) -> Measured:
        n = len(self._pictures)
        return Measured(
            self._pictures,
            self._unreadable,
            self.predicted[:n],
            self.confidence[:n],
            self.untempered[:n],
            None if self.shares is None else self.shares[:n],
            self.times_ms[:n],
            performance,
            notes,
        )


def measure(
    session: Session,
    pictures: Sequence[Picture],
    journal: Journal,
    progress: Progress,
    timing: Timing = REAL,
) -> Measured:
    """Run every picture that the journal does not know; memory grows by one short row of numbers per picture.

    Raises:
        ContractError: The engine gave numbers that are no probabilities.
    """
    cold_start_ms = _first_answer(session)
    columns = _Columns(len(pictures), session)
    fresh = 0
    with Pace(len(pictures), session.threads or read_cores(), timing) as pace:
        meters = Meters.begin(timing.clock)
        for done, picture in enumerate(pictures, start=1):
            known = journal.entries.pop(picture.sha256, None)
            entry = _answered(session, picture, journal, timing) if known is None else known
            fresh += known is None
            columns.put(picture, entry)
            pace.picture(done, sum(entry.times_ms) or None, fresh=known is None)
            progress(done, len(pictures))
        performance = meters.finish(fresh, cold_start_ms, pace, session.threads)
    return columns.measured(performance)


def collect(session: Session, answers: Iterable[tuple[Picture, Entry]], most: int, note: str) -> Measured:
    """Gather what others answered for this session, `most` pictures at most; its own speed is not told.

    Args:
        note: what a reader of the figures should know of those others.
    """
    columns = _Columns(most, session)
    for picture, entry in answers:
        columns.put(picture, entry)
    return columns.measured(Performance(threads=session.threads), (note,))


def answer_all(session: Session, pictures: Sequence[Picture], timing: Timing = REAL) -> list[Entry]:
    """Answer pictures for another process, one after the other, after a reference case to warm up."""
    _first_answer(session)
    return [_entry(session, picture, timing) for picture in pictures]


def _first_answer(session: Session) -> float | None:
    """Answer a reference case, since an engine's first run is the slowest; return the cold start."""
    begun = perf_counter()
    session.predict(session.bundle.path(session.manifest.cases[0].picture))
    first_ms = 1000 * (perf_counter() - begun)
    return None if session.opening_ms is None else session.opening_ms + first_ms


def _answered(session: Session, picture: Picture, journal: Journal, timing: Timing) -> Entry:
    entry = _entry(session, picture, timing)
    journal.add(picture.sha256, entry)
    return entry


def _entry(session: Session, picture: Picture, timing: Timing) -> Entry:
    try:
        return _timed(session, picture, timing)
    except PictureError as error:
        return Entry(unreadable=error.reason)


def _timed(session: Session, picture: Picture, timing: Timing) -> Entry:
    """Return what is kept of the answer to one picture, and the milliseconds of each stage."""
    found, times_ms = answer_in_stages(session, picture.path, timing)
    shares = found.clip(0, 1)
    if session.manifest.task == "multi_label":
        predicted = tuple(np.flatnonzero(shares >= MULTI_LABEL_THRESHOLD).tolist())
    else:
        predicted = (int(shares.argmax()),)
    kept = tuple(shares.tolist()) if len(shares) <= MAX_PROBABILITY_CLASSES else ()
    untempered = without_temperature(shares, session.variant.temperature)
    return Entry(predicted, float(shares.max()), untempered, kept, tuple(times_ms.tolist()))


def answer_in_stages(
    session: Session, picture: PictureSource, timing: Timing = REAL
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Answer one picture as `Session.predict` does.

    Returns:
        probabilities: (classes,), 0–1 but for rounding; times_ms: (4,), decode, resize, infer and outputs.

    Raises:
        ContractError: The engine gave numbers that are no probabilities.
    """
    now = timing.clock
    moments = [now()]
    decoded = session.preprocess.decode(picture)
    moments.append(now())
    pixels = session.preprocess.resize(decoded)
    moments.append(now())
    (logits,), (shares,) = session.infer(pixels[np.newaxis])
    moments.append(now())
    if not (shares.min() >= -_ROUNDING and shares.max() <= 1 + _ROUNDING):  # NaN fails as well
        name = "a picture in memory" if isinstance(picture, bytes) else picture
        raise ContractError(
            f"Variant {session.variant.name!r} on {session.device!r} gave numbers that are no probabilities, "
            f"{shares.min()} to {shares.max()}, for {name}. Open another variant."
        )
    session.to_prediction(logits, shares)
    moments.append(now())
    return shares, 1000 * np.diff(moments)
