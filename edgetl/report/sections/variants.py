"""The variants side by side: what was promised at export, what was measured, and accuracy against time."""

from dataclasses import dataclass

from edgetl.report.chart import Label, Scale, head_of, labels_above, spanning
from edgetl.report.facts import Facts, Missing
from edgetl.report.sources import Measured
from edgetl_runtime.manifest import Manifest, Variant
from edgetl_runtime.metrics import Figure
from edgetl_runtime.strict_json import JSON
from edgetl_runtime.verdict import points

LEFT, RIGHT, TOP, BOTTOM = 48, 312, 14, 176


@dataclass(frozen=True, slots=True)
class Row:
    """A variant of the bundle, or a receipt of another. figures: by name, of the receipt."""

    name: str
    stored: str
    contract: str
    size_bytes: int
    figures: dict[str, Figure]
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A receipt in the drawing: time to the right, the headline figure and its interval upwards."""

    name: str
    text: str
    x: float
    y: float
    low: float
    high: float
    label: Label


@dataclass(frozen=True, slots=True)
class Drawing:
    """Receipts by the same figure, `headline`, and time. head: how far labels reach above 0."""

    headline: str
    marks: tuple[Mark, ...]
    head: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Context:
    """The table and the drawing.

    columns: names of the figures that some receipt has. promised: whether a bundle says what it promised.
    """

    promised: bool
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    drawing: Drawing | None


def context(facts: Facts) -> Context | Missing:
    """Join the manifest's variants with the receipts that measured them."""
    manifest, receipts = facts.sources.manifest, facts.sources.receipts
    if manifest is None and not receipts:
        return Missing("give the bundle, or receipts")
    rows, rest = [], list(receipts)
    for variant in manifest.variants if manifest else ():
        assert manifest is not None
        mine = [one for one in rest if _measures(one, manifest, variant)]
        rest = [one for one in rest if one not in mine]
        rows += [_row(manifest, variant, one) for one in mine] or [_row(manifest, variant, None)]
    rows += [_alone(one) for one in rest]
    columns = dict.fromkeys(name for one in receipts for name in one.receipt.figures)
    return Context(manifest is not None, tuple(columns), tuple(rows), _drawing(receipts))


def _measures(measured: Measured, manifest: Manifest, variant: Variant) -> bool:
    receipt = measured.receipt
    return receipt.bundle.id == manifest.hash and receipt.variant == variant.name


def _row(manifest: Manifest, variant: Variant, measured: Measured | None) -> Row:
    stored = f"{variant.engine}, {variant.precision} run in {variant.execution}"
    name = measured.name if measured else variant.name
    size = manifest.size_bytes(variant)
    return Row(name, stored, _contract(variant), size, *_measured(measured))


def _alone(measured: Measured) -> Row:
    return Row(measured.name, "of another bundle", "", measured.receipt.size_bytes, *_measured(measured))


def _measured(measured: Measured | None) -> tuple[dict[str, Figure], float | None, float | None]:
    if measured is None:
        return {}, None, None
    infer = measured.receipt.latency.get("infer")  # A simulator's receipt has no times.
    times = (None, None) if infer is None else (infer.p50_ms, infer.p95_ms)
    return dict(measured.receipt.figures), *times


def _contract(variant: Variant) -> str:
    """Say what the variant promised when it was written; a contract may hold any JSON."""
    contract = variant.contract
    certified, needs = contract.get("certified"), contract.get("needs")
    drop, n = _number(contract.get("drop")), _number(contract.get("n"))
    said = "not recorded"
    if isinstance(certified, bool):
        said = "certified" if certified else "not certified"
    if drop is not None and n is not None:
        said += f": drop {points(drop)} pp on {n:,.0f} pictures"
    if isinstance(needs, int) and not certified:
        said += f", needs {needs:,}"
    return said


def _number(value: JSON) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _drawing(receipts: tuple[Measured, ...]) -> Drawing | None:
    """Set receipts of the same headline figure in one drawing; one alone needs none."""
    headline = next((name for one in receipts for name in one.receipt.figures), "")
    shown = [one for one in receipts if headline in one.receipt.figures and one.receipt.latency]
    if len(shown) < 2:
        return None
    figures = [one.receipt.figures[headline] for one in shown]
    times = [one.receipt.latency["infer"].p50_ms for one in shown]
    x = Scale(0, 1.12 * max(times) or 1.0, LEFT, RIGHT)
    y = spanning([end for figure in figures for end in (figure.low, figure.high)], BOTTOM, TOP)
    labels = labels_above([one.name for one in shown], list(map(x, times)), TOP, RIGHT)
    marks = [
        Mark(
            one.name,
            f"{one.name}: {time:.2f} ms, {100 * figure.value:.1f} %",
            x(time),
            y(figure.value),
            y(figure.low),
            y(figure.high),
            label,
        )
        for one, time, figure, label in zip(shown, times, figures, labels, strict=True)
    ]
    return Drawing(
        headline,
        tuple(marks),
        head_of(labels),
        tuple((x(tick), f"{tick:g}") for tick in x.ticks(6)),
        tuple((y(tick), f"{tick:.0%}") for tick in y.ticks(5)),
    )
