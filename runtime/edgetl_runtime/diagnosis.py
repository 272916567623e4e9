"""How an examination is shown in a terminal. An examination in, text out: it looks at nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl_runtime.layout import paragraphs, table, wrap

if TYPE_CHECKING:
    from edgetl_runtime.examination import EngineHere, Examination, Finding, Opening, State
    from edgetl_runtime.known_bad import KnownBad

_STATE = 10  # columns


def render_examination(found: Examination) -> str:
    """Return what was found, what is known to go wrong with it, and what becomes of the bundle."""
    machine = found.environment
    flags = " ".join(machine.flags) or "the system does not tell"
    lines = [_engine(engine) for engine in found.engines] + [_finding(one) for one in found.findings]
    return paragraphs(
        wrap(f"{machine.cpu}, {machine.cores} cores, {machine.os}, {machine.python}")
        + "\n"
        + wrap(f"Instruction sets: {flags}"),
        "\n".join(lines),
        _rows("Known to go wrong here:", [row for row in found.known_bad if not row.avoided]),
        _rows("Known here, and avoided by edgetl itself:", [row for row in found.known_bad if row.avoided]),
        "" if found.opening is None else _opening(found.opening),
    )


def _engine(engine: EngineHere) -> str:
    if not engine.error:
        devices = "; ".join(f"{name} ({facts})" if facts else name for name, facts in engine.devices.items())
        return _line("ok", f"{engine.name} {engine.version}: {devices}")
    sentence, _, remedy = engine.error.partition(" Run: ")
    state: State = "warning" if engine.version is not None else engine.without
    return _line(state, f"{engine.name}: {sentence}", f"Run: {remedy}" if remedy else "")


def _finding(one: Finding) -> str:
    return _line(one.state, f"{one.name}: {one.found}", one.remedy)


def _line(state: State, text: str, remedy: str = "") -> str:
    lines = [wrap(f"{state:{_STATE}}{text}", indent=_STATE)]
    if remedy:
        lines.append(wrap(" " * _STATE + remedy, indent=_STATE))
    return "\n".join(lines)


def _rows(title: str, rows: Sequence[KnownBad]) -> str:
    return "\n".join([title, *map(_row, rows)]) if rows else ""


def _row(row: KnownBad) -> str:
    told = [f"- {row.name}: {row.sentence}", f"  {row.remedy}"]
    return "\n".join([*(wrap(line, indent=2) for line in told), *(f"  {source}" for source in row.sources)])


def _opening(found: Opening) -> str:
    asked = (
        f"Bundle {found.bundle}, variant {found.variant_asked}, device {found.device_asked}, for {found.hint}"
    )
    if found.variant is None:
        return wrap(f"{asked}: cannot be opened. {found.error}")
    left_out = [wrap(f"- {name}: {reason}", indent=2) for name, reason in found.skipped]
    return paragraphs(
        wrap(f"{asked}: {found.variant} on {found.device}."),
        *(wrap(f"Note: {note}.") for note in found.notes),
        _times(found),
        "\n".join(["Could not be used:", *left_out]) if left_out else "",
    )


def _times(found: Opening) -> str:
    choice = found.choice
    if choice is None:
        return ""
    chosen = f"{choice.variant} on {choice.device}"
    rows = [
        (name, f"{time_ms:.2f}", "taken" if name == chosen else "")
        for name, time_ms in choice.times_ms.items()
    ]
    when = "earlier and remembered" if choice.remembered else "now"
    return paragraphs(
        table(("", "ms a batch", ""), rows),
        wrap(
            f"Measured {when}, after each had proven itself. Taken is the first in the bundle's order that "
            "no later one beats by more than 5 %."
        ),
    )
