"""Many devices, one test set: which device answers differently from the rest, and on which pictures?

A device dissents where it gives another answer than most devices. Some pictures are hard, and many devices
dissent there; so what is tested is who dissents, given on which pictures how many do. Were all devices alike,
each would be equally likely to be among the s dissenters of a picture, so a device's number of dissents would
be a sum of independent coins with chance s / devices. The exact tail of that sum is its p-value, and Holm's
correction holds it over the devices. Pictures without a majority say nothing about who is wrong; where they
are more than is tolerated, nothing can be said about the fleet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgetl_runtime.errors import InputError
from edgetl_runtime.pairing import align
from edgetl_runtime.statistics import holm, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.metrics import Figure
    from edgetl_runtime.receipt import BundleId, Receipt

    Array = NDArray[Any]

__all__ = ["Device", "Fleet", "compare_fleet"]


@dataclass(frozen=True, slots=True)
class Device:
    """One receipt beside the others.

    right: the share of its answers that are right; of several labels, all of them.
    agreement: with the majority, over the pictures that have one.
    dissents: the SHA-256 of the pictures where it differs. p50_ms: None of a simulator.
    p_value: of dissenting so often by chance, after Holm's correction.
    deviates: it is no chance, and beyond the tolerance.
    """

    name: str
    bundle: BundleId
    variant: str
    device: str
    cpu: str
    versions: tuple[tuple[str, str], ...]
    right: Figure
    p50_ms: float | None
    agreement: Figure
    dissents: tuple[str, ...]
    p_value: float
    deviates: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the receipts say together.

    disputed: the SHA-256 of the pictures without a majority; they judge nobody.
    tolerance: a share of the `n` pictures.
    """

    devices: tuple[Device, ...]
    n: int
    disputed: tuple[str, ...]
    tolerance: float
    alpha: float

    @property
    def outcome(self) -> Literal["PASS", "FAIL", "INCONCLUSIVE"]:
        """FAIL if a device deviates; INCONCLUSIVE if more pictures than tolerated have no majority."""
        if any(device.deviates for device in self.devices):
            return "FAIL"
        return "INCONCLUSIVE" if self.is_split else "PASS"

    @property
    def is_split(self) -> bool:
        """Whether more pictures than are tolerated have no majority."""
        return len(self.disputed) > self.tolerance * self.n

    @property
    def warning(self) -> str:
        """What may be why the devices differ: that they run different bundles; empty where they do not."""
        bundles = dict.fromkeys(device.bundle for device in self.devices)
        if len(bundles) == 1:
            return ""
        who = [
            f"{bundle.name} {bundle.id[:12]} on "
            f"{', '.join(device.name for device in self.devices if device.bundle == bundle)}"
            for bundle in bundles
        ]
        return f"The devices run different bundles, which may be why they differ: {'; '.join(who)}."

    @property
    def exit_code(self) -> int:
        """0 for PASS, 1 for FAIL, 3 for INCONCLUSIVE."""
        return {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[self.outcome]


def compare_fleet(
    receipts: Sequence[Receipt], names: Sequence[str], *, tolerance: float = 0.005, alpha: float = 0.05
) -> Fleet:
    """Set the receipts of several devices side by side.

    Args:
        names: What to call the devices, one for each receipt, all different.
        tolerance: The share of pictures on which a device may dissent more than the others do on average, and
            the share that may be without a majority.
        alpha: The chance to accuse any device where all are alike.

    Raises:
        ReceiptError: The receipts are of different pictures, classes or tasks.
        InputError: Fewer than two receipts, equal names, or a limit out of its range.
    """
    _check(receipts, names, tolerance, alpha)
    orders = align(receipts, names)
    hashes = [receipts[0].predictions.sha256[place] for place in orders[0].tolist()]
    answers = _answers(
        [one.predictions.predicted[order] for one, order in zip(receipts, orders, strict=True)]
    )
    majority = _majority(answers)
    settled = majority >= 0
    dissent = (answers != majority) & settled
    p_values = holm([_tail(dissent, place) for place in range(len(receipts))])
    share = dissent.mean(axis=1)
    devices = []
    for place, receipt in enumerate(receipts):
        beyond = share[place] - np.delete(share, place).mean() > tolerance
        told = tuple(hashes[k] for k in np.flatnonzero(dissent[place]))
        agreement = _agreement(int(settled.sum()), len(told))
        deviates = bool(beyond and p_values[place] < alpha)
        devices.append(_device(names[place], receipt, agreement, told, p_values[place], deviates))
    disputed = tuple(hashes[k] for k in np.flatnonzero(~settled))
    return Fleet(tuple(devices), len(hashes), disputed, tolerance, alpha)


def _check(receipts: Sequence[Receipt], names: Sequence[str], tolerance: float, alpha: float) -> None:
    if len(receipts) < 2:
        raise InputError(f"A fleet needs at least two receipts, got {len(receipts)}.")
    if len(set(names)) < len(receipts):
        raise InputError(f"Each receipt needs a name of its own, got {', '.join(names)}.")
    if not 0 <= tolerance < 1:
        raise InputError(f"tolerance must be a share in [0, 1), got {tolerance!r}; 0.005 is 0.5 %.")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha must lie in (0, 0.5), got {alpha!r}; 0.05 is usual.")


def _answers(columns: Sequence[Array]) -> Array:
    """Return the answers as numbers, (devices, n); of several labels, equal rows have equal numbers."""
    if columns[0].ndim == 1:
        return np.stack(columns).astype(np.int64)
    rows = np.packbits(np.concatenate(columns), axis=1)
    _, numbers = np.unique(rows, axis=0, return_inverse=True)
    return numbers.reshape(len(columns), -1)


def _majority(answers: Array) -> Array:
    """Return the answer that more than half of the devices give to each picture, (n,); -1 where none is.

    The middle of the sorted answers is that answer wherever there is one.
    """
    devices = len(answers)
    middle = np.sort(answers, axis=0)[devices // 2]
    return np.where((answers == middle).sum(axis=0) * 2 > devices, middle, -1)


def _tail(dissent: NDArray[np.bool_], place: int) -> float:
    """Return the chance that a device like the others dissents as often as this one or oftener."""
    dissenters, devices = dissent.sum(axis=0), len(dissent)
    chances = np.ones(1)
    for number in range(1, devices // 2 + 1):
        pictures = int((dissenters == number).sum())
        chances = np.convolve(chances, _binomial(pictures, number / devices))
    return min(1.0, float(chances[int(dissent[place].sum()) :].sum()))


def _binomial(n: int, share: float) -> NDArray[np.float64]:
    """Return the chances of 0 to n successes."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    terms = logs[n] - logs - logs[::-1] + k * math.log(share) + (n - k) * math.log1p(-share)
    chances: NDArray[np.float64] = np.exp(terms)
    return chances


def _agreement(settled: int, dissents: int) -> Figure:
    from edgetl_runtime.metrics import Figure

    if settled == 0:
        return Figure("agreement", 0.0, 0.0, 1.0, 1)
    return _share("agreement", settled - dissents, settled)


def _right(receipt: Receipt) -> Figure:
    """Count again: what a receipt says of itself may lack this figure."""
    right = receipt.predictions.right
    name = "accuracy" if receipt.task == "single_label" else "subset_accuracy"
    return _share(name, int(right.sum()), len(right))


def _share(name: str, k: int, n: int) -> Figure:
    from edgetl_runtime.metrics import Figure

    interval = wilson(k, n)
    return Figure(name, k / n, interval.low, interval.high, n)


def _device(
    name: str, receipt: Receipt, agreement: Figure, dissents: tuple[str, ...], p_value: float, deviates: bool
) -> Device:
    return Device(
        name=name,
        bundle=receipt.bundle,
        variant=receipt.variant,
        device=receipt.device,
        cpu=receipt.environment.cpu,
        versions=tuple(sorted(receipt.environment.versions.items())),
        right=_right(receipt),
        p50_ms=receipt.latency["total"].p50_ms if receipt.latency else None,
        agreement=agreement,
        dissents=dissents,
        p_value=p_value,
        deviates=deviates,
    )
