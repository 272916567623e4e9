"""What people read in a terminal: results as plain text that fits 80 columns, in ASCII but for names.

Results in, text out: it prints nothing and measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.layout import paragraphs as _paragraphs
from edgetl_runtime.layout import table as _table
from edgetl_runtime.layout import wrap as _wrap
from edgetl_runtime.simulated import NO_TIMES
from edgetl_runtime.verdict import points

if TYPE_CHECKING:
    from edgetl_runtime.benching import Timed
    from edgetl_runtime.commands import Answer
    from edgetl_runtime.fleet import Device, Fleet
    from edgetl_runtime.ledger import Ledger
    from edgetl_runtime.manifest import Manifest, Variant
    from edgetl_runtime.metrics import Figure
    from edgetl_runtime.performance import Performance
    from edgetl_runtime.pictures import Unreadable
    from edgetl_runtime.planning import Plan
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.slots import Pointer
    from edgetl_runtime.statistics import Interval
    from edgetl_runtime.verdict import Flip, Rule, Verdict

__all__ = [
    "render_answers",
    "render_bench",
    "render_fleet",
    "render_info",
    "render_ledger",
    "render_plan",
    "render_pointer",
    "render_receipt",
    "render_verdict",
]

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
        _table(("milliseconds", "p50", "p95", "p99"), times) if times else f"{NO_TIMES}.",
        _wrap(f"{_megabytes(receipt.size_bytes)} MB on disk; {receipt.environment.cpu}"),
        _wrap(_performance(receipt.performance)),
        *(_wrap(f"Note: {note}.") for note in receipt.environment.notes),
        _left_out(receipt.errors),
    )


def render_pointer(folder: Path, pointer: Pointer) -> str:
    """Return which slot is in use, and where a rollback would lead."""
    rows = [("in use", pointer.current)]
    if pointer.previous is not None:
        rows.append(("before", pointer.previous))
    table = _table(("", "slot", "bundle"), [(what, slot.name, slot.id) for what, slot in rows], left=3)
    back = f"To go back: edgetl-runtime rollback {folder}" if pointer.previous else ""
    return _paragraphs(table, back)


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
        _rules(verdict.rules),
        _flips(verdict.flips),
    )


def render_bench(found: Sequence[Timed]) -> str:
    """Return the median milliseconds of each stage, variant by variant, and what a stream gives."""
    rows = [
        (
            one.variant,
            one.device,
            *(f"{entry.p50_ms:.2f}" for entry in one.stages.values()),
            f"{one.stages['total'].p95_ms:.2f}",
            f"{one.stream_per_s:.0f}",
        )
        for one in found
    ]
    header = ("p50 in ms", "on", *found[0].stages, "p95", "stream/s")
    opened = [f"{one.variant} {one.opening_ms:.0f} ms" for one in found if one.opening_ms is not None]
    return _paragraphs(
        _table(header, rows, left=2),
        _wrap(f"Opened in: {', '.join(opened)}.") if opened else "",
        _wrap(f"{found[0].stages['total'].n} runs each, one picture at a time; stream/s: pictures a second."),
    )


def render_info(manifest: Manifest) -> str:
    """Return what a bundle is, and its variants in the order of preference."""
    step, classes = manifest.preprocess, ", ".join(manifest.classes[:MAX_CLASSES])
    rejects = [f"{v.name} below {v.reject_below:g}" for v in manifest.variants if v.reject_below is not None]
    facts = {
        "bundle": manifest.name,
        "id": manifest.hash,
        "task": manifest.task.replace("_", " "),
        "classes": f"{len(manifest.classes):,}: {classes}{', ...' * (len(manifest.classes) > MAX_CLASSES)}",
        "pictures": f"{step.size} x {step.size} RGB, centre {step.crop:.3g}, {step.filter}",
        "rejects": ", ".join(rejects) or "nothing",
    }
    if fixed := [f"{v.name} {v.batch}" for v in manifest.variants if v.batch is not None]:
        facts["at a time"] = ", ".join(fixed)
    if bound := [f"{v.name} {v.device}" for v in manifest.variants if v.device is not None]:
        facts["only on"] = ", ".join(bound)
    header = ("variant", "engine", "stored", "runs in", "contract", "MB")
    return _paragraphs(
        "\n".join(_wrap(f"{name:10}{value}", indent=10) for name, value in facts.items()),
        _table(header, [_variant_row(manifest, variant) for variant in manifest.variants], left=5),
        *filter(None, (_firmware(manifest),)),
    )


def _performance(found: Performance | None) -> str:
    """Return what the machine told, in one sentence, and nothing of what it did not tell."""
    if found is None:
        return ""
    memory, joules = found.peak_memory_bytes, found.joules_per_picture
    parts = [
        None if found.throughput_per_s is None else f"{found.throughput_per_s:.1f} pictures/s one by one",
        None if found.cold_start_ms is None else f"first answer after {found.cold_start_ms:.0f} ms",
        None if memory is None else f"at most {memory / 1e6:.0f} MB of memory",
        None if joules is None else f"{joules:.3g} J a picture",
        "slowed down by heat" if found.throttled else None,
    ]
    return "; ".join(part for part in parts if part)


def render_plan(plan: Plan) -> str:
    """Return the pictures that the margin needs, by discordance, and what so many pictures can do."""
    header = ["one alone is right", f"pictures for {100 * plan.margin:.2f} pp"]
    if plan.n is not None:
        header += [f"{plan.n:,} certify", "chance to pass"]
    rows = []
    for row in plan.rows:
        cells = [f"{100 * row.discordance:.2f} %", f"{row.pictures:,}"]
        if row.certifies is not None and row.chance is not None:
            cells += [f"{100 * row.certifies:.2f} pp", f"{row.chance:.1%}"]
        rows.append(cells)
    return _paragraphs(
        _wrap(
            f"For a candidate whose true drop is {points(plan.drop)} pp to pass at a margin of "
            f"{100 * plan.margin:.2f} pp with a chance of {plan.power:.0%}, where one at the margin passes "
            f"with about {plan.alpha:.0%}:"
        ),
        _table(header, rows, left=0),
        _wrap(
            "One alone is right: the share of pictures on which exactly one of the two models is right. "
            "Two receipts tell it: what `check` calls lost and gained, over its pictures."
        ),
    )


def render_fleet(fleet: Fleet) -> str:
    """Return the devices side by side, who deviates, and on which pictures."""
    rows = [
        (
            device.name,
            device.variant,
            f"{100 * device.right.value:.2f}",
            f"{100 * device.right.low:.2f} to {100 * device.right.high:.2f}",
            f"{100 * device.agreement.value:.2f}",
            f"{device.p_value:.2g}",
            "-" if device.p50_ms is None else f"{device.p50_ms:.2f}",
        )
        for device in fleet.devices
    ]
    figure = fleet.devices[0].right.name.replace("_", " ")
    header = ("device", "variant", figure, "95% interval", "agrees", "p", "p50 ms")
    return _paragraphs(
        _wrap(f"{fleet.outcome}: {_fleet_finding(fleet)}"),
        _table(header, rows, left=2),
        *(_wrap(_made_of(device), indent=2) for device in fleet.devices),
        *(_places(f"{one.name} stands alone on:", one.dissents) for one in fleet.devices if one.deviates),
        _places("Without a majority:", fleet.disputed) if fleet.is_split else "",
    )


def _fleet_finding(fleet: Fleet) -> str:
    disputed, n = len(fleet.disputed), fleet.n
    bad = [
        f"{one.name} answers differently from most devices on {len(one.dissents):,} of {n:,} pictures"
        for one in fleet.devices
        if one.deviates
    ]
    if bad:
        return "; ".join(bad) + (f"; {disputed:,} have no majority." if fleet.is_split else ".")
    if not fleet.is_split:
        return (
            f"no device differs from the rest by more than chance and {100 * fleet.tolerance:g} % of the "
            f"{n:,} pictures."
        )
    two = len(fleet.devices) == 2
    found = "the two differ" if two else "no answer has a majority of the devices"
    allowed = f"{100 * fleet.tolerance:g} % are tolerated"
    todo = "a third would say who is right" if two else "compare what they are made of, below"
    return f"{found} on {disputed:,} of {n:,} pictures, and {allowed}; {todo}."


def _made_of(device: Device) -> str:
    bundle = f"{device.bundle.name} {device.bundle.id[:12]}"
    return f"{device.name}: bundle {bundle}; {device.cpu}; {_versions(device)}"


def _versions(device: Device) -> str:
    return ", ".join(f"{name} {version}" for name, version in device.versions) or "versions unknown"


def _places(title: str, hashes: Sequence[str]) -> str:
    """List the first pictures by their hashes."""
    shown = "\n".join(f"  {sha256}" for sha256 in hashes[:MAX_FLIPS])
    rest = _more(len(hashes) - MAX_FLIPS, "pictures are in --json")
    return "\n".join(filter(None, (title, shown, f"  {rest}" if rest else "")))


def render_ledger(ledger: Ledger) -> str:
    """Return a row for each test set, the most worn first, and what to do about it."""
    sets = ledger.test_sets()
    rows = [
        (
            wear.test_set[:12],
            f"{wear.n:,}",
            *(f"{count:,}" for _, count in wear.outcomes),
            f"{wear.looks:,}",
            f"{wear.false_pass:.0%}",
        )
        for wear in sets
    ]
    damaged = f"{ledger.damaged:,} damaged lines count as looks at every test set."
    if not sets:
        return damaged if ledger.damaged else "The ledger holds no decision."
    kinds = (kind.lower() for kind, _ in sets[0].outcomes)
    header = ("test set", "pictures", *kinds, "candidates", "false pass up to")
    return _paragraphs(
        _table(header, rows),
        damaged if ledger.damaged else "",
        *(_wrap(f"{wear.test_set[:12]} is worn: {wear.describe()}") for wear in sets if wear.worn),
    )


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


def _rules(rules: Sequence[Rule]) -> str:
    """Return every rule with its outcome, where more than one was asked."""
    if len(rules) == 1:
        return ""
    return "\n".join(_wrap(f"{rule.outcome:13}{rule.name}: {rule.sentence}", indent=13) for rule in rules)


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


def _firmware(manifest: Manifest) -> str:
    """Return what the compiler estimates of the variants for firmware; empty where there is none."""
    cores = [(variant.name, variant.core) for variant in manifest.variants if variant.core is not None]
    rows = [
        (
            name,
            f"{core.npu_operators} of {core.operators}",
            f"{core.sram_kib:,.0f}",
            f"{core.cycles_estimate:,}",
            f"{core.clock_hz / 1e6:,.0f}",
        )
        for name, core in cores
    ]
    if not rows:
        return ""
    made = sorted({f"{core.compiler} for {core.system}, {core.memory_mode}" for _, core in cores})
    told = _wrap(f"For firmware, as the compiler estimates; not yet run on hardware: {'; '.join(made)}.")
    return f"{told}\n{_table(('variant', 'on the NPU', 'SRAM KiB', 'cycles', 'at MHz'), rows, left=1)}"


def _contract(variant: Variant) -> str:
    certified, needs = variant.contract.get("certified"), variant.contract.get("needs")
    if certified is None:
        return "not measured"
    if certified:
        return "certified"
    return f"uncertified, needs {needs:,}" if isinstance(needs, int) else "uncertified"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f}"
