"""How long one picture takes, by stage: the percentiles of every receipt on one axis."""

from dataclasses import dataclass

from edgetl.report.chart import Scale
from edgetl.report.facts import Facts, Missing
from edgetl_runtime.receipt import Latency


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage; p50, p95 and p99 are places on the axis, 0–100."""

    stage: str
    latency: Latency
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Group:
    """The stages of a receipt, and where it was measured."""

    name: str
    machine: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Receipts by the median of their whole time, the fastest first."""

    groups: tuple[Group, ...]
    ticks: tuple[tuple[float, str], ...]


def context(facts: Facts) -> Context | Missing:
    """Set the times of all receipts side by side."""
    if not facts.sources.receipts:
        return Missing("give receipts")
    receipts = [one for one in facts.sources.receipts if one.receipt.latency]
    if not receipts:
        return Missing("give the receipt of a device; a simulator's has no times")
    longest = max(entry.p99_ms for one in receipts for entry in one.receipt.latency.values())
    scale = Scale(0, 1.02 * longest or 1.0)
    ordered = sorted(receipts, key=lambda one: one.receipt.latency["total"].p50_ms)
    groups = tuple(
        Group(
            one.name,
            f"{one.receipt.device} of {one.receipt.environment.cpu}, {one.receipt.environment.cores} cores",
            tuple(
                Bar(stage, entry, scale(entry.p50_ms), scale(entry.p95_ms), scale(entry.p99_ms))
                for stage, entry in one.receipt.latency.items()
            ),
        )
        for one in ordered
    )
    return Context(groups, tuple((scale(tick), f"{tick:g}") for tick in scale.ticks(5)))
