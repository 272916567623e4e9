"""A monitor's snapshot in the text format that Prometheus scrapes, version 0.0.4. Opens no port."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl_runtime.monitor import Snapshot

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAKEN = {"class", "quantity"}
_Samples = Iterable[tuple[Mapping[str, str], float | None]]


def render(found: Snapshot, labels: Mapping[str, str]) -> str:
    """Return the text; a sample that is not known yet is left out.

    Raises:
        InputError: a name of `labels` is no label name, or one that is used here.
    """
    _check_names(labels)
    by_class = [{"class": name} for name in found.classes]
    by_quantity = [{"quantity": one.quantity} for one in found.drift]
    metrics: list[tuple[str, str, str, _Samples]] = [
        ("predictions_total", "counter", "Predictions since the start.", [({}, found.observed)]),
        ("rejected_total", "counter", "Predictions without a label.", [({}, found.rejected)]),
        (
            "class_total",
            "counter",
            "Predictions by class of the highest probability.",
            zip(by_class, found.counts, strict=True),
        ),
        (
            "rejected_share",
            "gauge",
            "Share without a label in the rolling window.",
            [({}, found.rejected_share if found.window else None)],
        ),
        (
            "class_share",
            "gauge",
            "Share of a class in the rolling window.",
            zip(by_class, found.class_shares, strict=True),
        ),
        (
            "baseline_class_share",
            "gauge",
            "Share of a class in the baseline.",
            zip(by_class, found.baseline_shares, strict=True),
        ),
        (
            "drift_index",
            "gauge",
            "Population stability index of the rolling window.",
            zip(by_quantity, [one.index for one in found.drift], strict=True),
        ),
        (
            "drift_threshold",
            "gauge",
            "Index above which a window is beyond chance.",
            zip(by_quantity, [one.threshold for one in found.drift], strict=True),
        ),
        (
            "drift_alarm",
            "gauge",
            "1 where the last complete window was beyond chance.",
            zip(by_quantity, [one.alarm for one in found.drift], strict=True),
        ),
        (
            "drift_alarms_total",
            "counter",
            "Windows beyond chance.",
            zip(by_quantity, [one.alarms for one in found.drift], strict=True),
        ),
        ("windows_total", "counter", "Complete windows.", [({}, found.drift[0].windows)]),
    ]
    return "".join(_metric(f"edgetl_{name}", kind, text, labels, rows) for name, kind, text, rows in metrics)


def _check_names(labels: Iterable[str]) -> None:
    for name in labels:
        if not _LABEL.fullmatch(name) or name.startswith("__") or name in _TAKEN:
            taken = ", ".join(sorted(_TAKEN))
            raise InputError(f"A label must be letters, digits and _, and none of {taken}, got {name!r}.")


def _metric(name: str, kind: str, text: str, labels: Mapping[str, str], samples: _Samples) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for own, value in samples:
        if value is not None:
            pairs = ",".join(f'{key}="{_escaped(one)}"' for key, one in {**labels, **own}.items())
            lines.append(f"{name}{{{pairs}}} {float(value)!r}" if pairs else f"{name} {float(value)!r}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
