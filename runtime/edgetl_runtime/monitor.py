"""What a model sees in the field, held against what it saw when it was measured: an object of the app.

It starts no thread, opens no file and keeps no picture. Knows predictions and a baseline receipt; `drift`
knows when a difference is more than chance.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.drift import Bins, alarm_threshold, confidence_edges, pool, stability_index
from edgetl_runtime.errors import InputError
from edgetl_runtime.statistics import wilson

if TYPE_CHECKING:
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.session import Prediction

__all__ = ["Drift", "Monitor", "Snapshot"]

CONFIDENCE_BINS = 10
MAX_WINDOW = 1_000_000

Quantity = Literal["classes", "confidence"]


@dataclass(frozen=True, slots=True)
class Drift:
    """One quantity of the last pictures against the baseline.

    index: the population stability index of the last `window` pictures; None until there are so many.
    threshold: what the index of unchanged data exceeds as rarely as was asked for. alarm: whether the last
    complete window exceeded it. windows, alarms: how many were complete, and how many exceeded it.
    """

    quantity: Quantity
    index: float | None
    threshold: float
    alarm: bool
    windows: int
    alarms: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a monitor knows at one moment; `dataclasses.asdict` gives JSON.

    observed, rejected: predictions since the start, and those of them without a label.
    counts: since the start, by class of the highest probability. window: pictures in the rolling window, at
    most `window_size`. rejected_share, rejected_low, rejected_high: of the window, Wilson's 95% interval.
    class_shares, baseline_shares: of the window and of the baseline, by class.
    confidence_edges, confidence_shares: upper edges of bins, and the window's shares; 1 above the last edge.
    """

    observed: int
    rejected: int
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    window: int
    window_size: int
    rejected_share: float
    rejected_low: float
    rejected_high: float
    class_shares: tuple[float, ...]
    baseline_shares: tuple[float, ...]
    confidence_edges: tuple[float, ...]
    confidence_shares: tuple[float, ...]
    drift: tuple[Drift, ...]

    @property
    def alarms(self) -> tuple[Quantity, ...]:
        """The quantities whose last complete window was beyond chance."""
        return tuple(one.quantity for one in self.drift if one.alarm)


class _Tracked:
    """One quantity: the categories of the last pictures, and its alarms. The monitor's lock guards it."""

    def __init__(self, quantity: Quantity, bins: Bins, window: int, false_alarms: float) -> None:
        self.quantity = quantity
        self._baseline = bins.counts
        self._place = np.array(bins.place)
        self._last = np.zeros(window, np.int32)
        self.now = np.zeros(len(bins.place), np.int64)
        self._threshold = alarm_threshold(len(bins.counts), window, sum(bins.counts), false_alarms)
        self._alarm, self._windows, self._alarms = False, 0, 0

    def add(self, category: int, number: int) -> None:
        """Take the category of the `number`-th picture, counted from 0."""
        place, window = number % len(self._last), len(self._last)
        if number >= window:
            self.now[self._last[place]] -= 1
        self._last[place] = category
        self.now[category] += 1
        if place == window - 1:
            self._windows += 1
            self._alarm = self._index() > self._threshold
            self._alarms += self._alarm

    def drift(self) -> Drift:
        index = self._index() if self._windows else None
        return Drift(self.quantity, index, self._threshold, self._alarm, self._windows, self._alarms)

    def _index(self) -> float:
        binned = np.bincount(self._place, weights=self.now, minlength=len(self._baseline))
        return stability_index(self._baseline, binned.tolist())


class Monitor:
    """Counts predictions, and says when they are no longer like the baseline's; safe to use from any thread.

    An alarm is decided once for every `window` pictures, on these alone, so that unchanged data raise one in
    a share `false_alarms` of the windows, which the two quantities share evenly. Pictures are supposed to be
    independent: of a camera that sees the same thing for a while, observe one picture of each thing. Memory
    is bounded by the window and the classes.
    """

    def __init__(self, baseline: Receipt, *, window: int = 500, false_alarms: float = 0.001) -> None:
        """Take the receipt of the bundle that is monitored, measured where its data are as they should be.

        Args:
            window: pictures, 50 to 1,000,000: more see smaller shifts, later.
            false_alarms: share of windows, above 0 and at most 0.1: 0.001 of 500 pictures is one false alarm
                in half a million pictures.

        Raises:
            InputError: window or false_alarms are out of range.
        """
        if not 50 <= window <= MAX_WINDOW:
            raise InputError(f"window must be 50 to {MAX_WINDOW:,} pictures, got {window!r}.")
        if not 0 < false_alarms <= 0.1:
            raise InputError(f"false_alarms must be a share above 0, at most 0.1, got {false_alarms!r}.")
        self.classes = baseline.classes
        self._window = window
        self._lock = threading.Lock()
        self._observed = self._rejected = 0
        self._counts = np.zeros(len(self.classes), np.int64)
        self._without_label = np.zeros(window, np.bool_)
        each = false_alarms / 2
        known = np.asarray(baseline.predictions.confidence)
        self._edges = confidence_edges(known, CONFIDENCE_BINS)
        places = np.searchsorted(self._edges, known, side="right")
        confidences = np.bincount(places, minlength=len(self._edges) + 1)
        self._confidence = _Tracked("confidence", pool(confidences.tolist(), window), window, each)
        answers = _best(baseline)
        self._baseline = np.bincount(answers, minlength=len(self.classes))
        self._classes = _Tracked("classes", pool(self._baseline.tolist(), window), window, each)

    def observe(self, prediction: Prediction) -> None:
        """Count one prediction.

        Raises:
            InputError: it is not of as many classes as the baseline.
        """
        if len(prediction.probabilities) != len(self.classes):
            got, want = len(prediction.probabilities), len(self.classes)
            raise InputError(f"A prediction must have the baseline's {want} classes, got {got}.")
        best = int(prediction.probabilities.argmax())
        place = int(np.searchsorted(self._edges, prediction.confidence, side="right"))
        rejected = prediction.label is None
        with self._lock:
            self._classes.add(best, self._observed)
            self._confidence.add(place, self._observed)
            self._without_label[self._observed % self._window] = rejected
            self._counts[best] += 1
            self._rejected += rejected
            self._observed += 1

    def snapshot(self) -> Snapshot:
        """Return all that is known now; what it shows belongs together."""
        with self._lock:
            window = min(self._observed, self._window)
            rejected = int(self._without_label[:window].sum())
            interval = wilson(rejected, window) if window else None
            return Snapshot(
                observed=self._observed,
                rejected=self._rejected,
                classes=self.classes,
                counts=tuple(self._counts.tolist()),
                window=window,
                window_size=self._window,
                rejected_share=rejected / max(window, 1),
                rejected_low=interval.low if interval else 0.0,
                rejected_high=interval.high if interval else 1.0,
                class_shares=_shares(self._classes.now),
                baseline_shares=_shares(self._baseline),
                confidence_edges=(*self._edges, 1.0),
                confidence_shares=_shares(self._confidence.now),
                drift=(self._classes.drift(), self._confidence.drift()),
            )

    def to_prometheus(self, **labels: str) -> str:
        """Return the text that a Prometheus scrape reads; `labels` go to every line, such as line="3"."""
        from edgetl_runtime.exposition import render

        return render(self.snapshot(), labels)


def _best(baseline: Receipt) -> Sequence[int] | NDArray[np.integer]:
    """Return the class of the highest probability of each picture, as `observe` counts it."""
    found = baseline.predictions
    if found.predicted.ndim == 1:
        return np.asarray(found.predicted, np.int64)
    if found.probabilities is None:
        raise InputError(
            "A baseline with several labels a picture must hold probabilities, which receipts keep for up to "
            "20 classes. Monitor a bundle with fewer classes, or a single-label one."
        )
    best: NDArray[np.integer] = found.probabilities.argmax(axis=1)
    return best


def _shares(counts: NDArray[np.integer]) -> tuple[float, ...]:
    return tuple((counts / max(int(counts.sum()), 1)).tolist())
