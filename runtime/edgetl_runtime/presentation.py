"""What people read in a terminal: results as plain text that fits 80 columns, in ASCII but for names.

Results in, text out: it prints nothing and measures nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl_runtime.verdict import points

if TYPE_CHECKING:
    from edgetl_runtime.commands import Answer
    from edgetl_runtime.manifest import Manifest, Variant
    from edgetl_runtime.metrics import Figure
    from edgetl_runtime.pictures import Unreadable
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.statistics import Interval
    from edgetl_runtime.verdict import Flip, Verdict

__all__ = ["render_answers", "render_info", "render_receipt", "render_verdict"]

WIDTH = 80
MAX_FLIPS = 10
MAX_CLASSES = 10
MAX_LEFT_OUT = 5


def render_answers(answers: Sequence[Answer]) -> str:
    """Return one line per picture that was predicted."""
    rows = [
        (
            str(answer.picture),
            ", ".join(answer.prediction.labels) or "-",
            f"{answer.prediction.confidence:.4f}",
        )
        for answer in answers
        if answer.prediction is not None
    ]
    return _table(("picture", "label", "confidence"), rows, left=2) if rows else ""


def render_receipt(receipt: Receipt) -> str:
    """Return the figures, the weakest classes, the times and what was left out."""
    split = f" of split {receipt.dataset.split}" if receipt.dataset.split else ""
    asked = f"{receipt.dataset.n:,} pictures{split} of {receipt.dataset.name}"
    weakest = sorted(receipt.per_class.items(), key=lambda item: item[1].value)[:MAX_CLASSES]
    figures = [(name.replace("_", " "), figure) for name, figure in receipt.figures.items()]
    figures += [(f"{figure.name} of {name}", figure) for name, figure in weakest]
    times = [
        (stage, f"{entry.p50_ms:.2f}", f"{entry.p95_ms:.2f}", f"{entry.p99_ms:.2f}")
        for stage, entry in receipt.latency.items()
    ]
    return _paragraphs(
        _wrap(f"{receipt.bundle.name} {receipt.variant} on {receipt.device}: {asked}"),
        _table(("", "value", "95% interval", "n"), [_figure_row(*item) for item in figures]),
        _more(len(receipt.per_class) - len(weakest), "classes do better"),
        _table(("milliseconds", "p50", "p95", "p99"), times),
        _wrap(f"{_megabytes(receipt.size_bytes)} MB on disk; {receipt.environment.cpu}"),
        _left_out(receipt.errors),
    )


def render_verdict(verdict: Verdict) -> str:
    """Return the verdict, the numbers, what to do next, and the first flips."""
    shares = (f"{100 * verdict.before:.2f} %", f"{100 * verdict.after:.2f} %")
    rows = [("accuracy", *shares, *_drop(verdict.drop, verdict.interval))]
    if verdict.balanced_drop is not None:
        rows.append(
            ("balanced accuracy", "", "", *_drop(verdict.balanced_drop.value, verdict.balanced_drop.interval))
        )
    return _paragraphs(
        _wrap(f"{verdict.finding()} {verdict.reason()}"),
        _table(("", "baseline", "candidate", "drop in pp", f"{verdict.confidence:.0%} interval"), rows),
        _wrap(
            f"Of {verdict.n:,} pictures {verdict.lost:,} were lost and {verdict.gained:,} gained "
            f"(McNemar p = {verdict.p_value:.2g})."
        ),
        _wrap(" ".join(verdict.next_steps())),
        _flips(verdict.flips),
    )


def render_info(manifest: Manifest) -> str:
    """Return what a bundle is, and its variants in the order of preference."""
    step, classes = manifest.preprocess, ", ".join(manifest.classes[:MAX_CLASSES])
    rejects = manifest.reject_threshold
    facts = {
        "bundle": manifest.name,
        "id": manifest.hash,
        "task": manifest.task.replace("_", " "),
        "classes": f"{len(manifest.classes):,}: {classes}{', ...' * (len(manifest.classes) > MAX_CLASSES)}",
        "pictures": f"{step.size} x {step.size} RGB, centre {step.crop:.3g}, {step.filter}",
        "rejects": "nothing" if rejects is None else f"answers less confident than {rejects:g}",
    }
    header = ("variant", "engine", "stored", "runs in", "contract", "MB")
    return _paragraphs(
        "\n".join(_wrap(f"{name:10}{value}", indent=10) for name, value in facts.items()),
        _table(header, [_variant_row(manifest, variant) for variant in manifest.variants], left=5),
    )


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _wrap(text: str, indent: int = 0) -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return columns two spaces apart, the first `left` of them flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _more(count: int, what: str) -> str:
    return f"{count:,} more {what}." if count > 0 else ""


def _figure_row(name: str, figure: Figure) -> tuple[str, ...]:
    return name, f"{figure.value:.4f}", f"{figure.low:.4f} to {figure.high:.4f}", f"{figure.n:,}"


def _drop(drop: float, interval: Interval) -> tuple[str, str]:
    return points(drop), f"{points(interval.low)} to {points(interval.high)}"


def _left_out(errors: Sequence[Unreadable]) -> str:
    if not errors:
        return ""
    shown = [f"  {error.path.as_posix()} {error.reason}" for error in errors[:MAX_LEFT_OUT]]
    rest = _more(len(errors) - MAX_LEFT_OUT, "are in the receipt")
    return "\n".join([f"Left out: {len(errors):,}", *shown, *([f"  {rest}"] if rest else [])])


def _flips(flips: Sequence[Flip]) -> str:
    if not flips:
        return ""
    rows = [
        (flip.sha256[:12], flip.target or "-", flip.before or "-", flip.after or "-")
        for flip in flips[:MAX_FLIPS]
    ]
    table = _table(("sha256", "target", "baseline", "candidate"), rows, left=4)
    return "\n".join(filter(None, ("Flips:", table, _more(len(flips) - MAX_FLIPS, "flips are in --json"))))


def _variant_row(manifest: Manifest, variant: Variant) -> tuple[str, ...]:
    megabytes = _megabytes(manifest.size_bytes(variant))
    return variant.name, variant.engine, variant.precision, variant.execution, _contract(variant), megabytes


def _contract(variant: Variant) -> str:
    certified, needs = variant.contract.get("certified"), variant.contract.get("needs")
    if certified is None:
        return "not measured"
    if certified:
        return "certified"
    return f"uncertified, needs {needs:,}" if isinstance(needs, int) else "uncertified"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f}"
