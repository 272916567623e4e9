"""The advice as a card of 80 columns. Knows nothing about how it was measured."""

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from edgetl.advise.advisor import Advice
from edgetl.advise.data import Copies, DataFacts, Suspicions
from edgetl.advise.race import Race
from edgetl.advise.resources import Resources
from edgetl.advise.similarity import Lift, Similarity
from edgetl.tables import table
from edgetl_runtime.pictures import Picture

_WIDTH = 80
_SHOWN = 5
_PATH = 20  # Two of them fit a line.


def render_card(advice: Advice, flags: Sequence[str] = ()) -> str:
    """Return the card; flags: what a training needs to follow the advice, see `Request.flags`."""
    sections = [
        ("Pictures", _data(advice.data, advice.suspicions)),
        ("Backbones, best first", _candidates(advice)),
        ("Transfer", _similarity(advice.backbone, advice.similarity)),
        ("This machine", _resources(advice.resources)),
        (f"Plan: {advice.plan.approach}", _plan(advice, flags)),
    ]
    return "\n\n".join("\n".join([title, *lines]) for title, lines in sections)


def _data(data: DataFacts, found: Suspicions) -> list[str]:
    splits = ", ".join(f"{count:,} {name}" for name, count in data.splits.items())
    smallest = min(data.per_class, key=lambda name: data.per_class[name])
    low, middle, high = data.sides
    classes = f"{len(data.per_class):,} classes, the smallest {smallest!r} with {data.smallest:,}"
    damage = f"{data.unreadable.count:,} unreadable, {data.copies:,} exact copies"
    wrong = (
        f"{data.leaks.count:,} contents in several splits, {data.conflicts.count:,} with contradicting labels"
    )
    near = f"{found.alike:,} near duplicates in {found.near.count:,} groups, {found.across:,} across splits"
    lines = [
        f"{splits}; {classes}, the largest {data.imbalance:.1f} times that",
        f"shorter side {middle:.0f} pixels in the median, {low:.0f} to {high:.0f} for nine in ten",
        f"{damage}; {wrong}",
        f"{near}, among {found.looked_at:,} pictures",
        _doubts(found),
    ]
    return _wrapped([*lines, *_first(data, found)])


def _first(data: DataFacts, found: Suspicions) -> list[str]:
    """Name the first of each kind."""
    lines = [f"  left out: {_short(one.path)} {one.reason}" for one in data.unreadable.first[:_SHOWN]]
    lines += [f"  leakage: {_pair(_differing(one, _split), _split)}" for one in data.leaks.first[:_SHOWN]]
    lines += [
        f"  contradiction: {_pair(_differing(one, _label), _label)}" for one in data.conflicts.first[:_SHOWN]
    ]
    for one in found.near.first[:_SHOWN]:
        size = f", of {one.count:,}" if one.count > 2 else ""
        lines.append(f"  near: {_pair(one.pictures, _split)}{size}")
    lines += [
        f"  doubtful: {_short(one.path)} is {one.given!r}, looks like {one.suggested!r}"
        for one in found.doubts[:_SHOWN]
    ]
    return lines


def _pair(pictures: Sequence[Picture], say: Callable[[Picture], str]) -> str:
    return " and ".join(f"{_short(picture.path)} {say(picture)}" for picture in pictures[:2])


def _differing(copies: Copies, say: Callable[[Picture], str]) -> list[Picture]:
    """Return the first of those of which the same is said."""
    return list({say(picture): picture for picture in reversed(copies.pictures)}.values())[::-1]


def _split(picture: Picture) -> str:
    return f"in {picture.split}"


def _label(picture: Picture) -> str:
    return f"as {'|'.join(picture.labels)!r}"


def _short(path: Path) -> str:
    """Return the end of a path that tells pictures of a dataset apart, in a few columns."""
    end = "/".join(path.parts[-3:])
    return end if len(end) <= _PATH else f"…{end[1 - _PATH :]}"


def _doubts(found: Suspicions) -> str:
    if found.skipped:
        return f"labels not checked: {found.skipped}"
    return f"{len(found.doubts):,} of {found.doubted_among:,} training labels are doubtful"


def _candidates(advice: Advice) -> list[str]:
    rows = [
        (
            one.name,
            _number(one.top1, "{:.3f}"),
            _number(one.knn, "{:.3f}"),
            _number(one.ridge, "{:.3f}"),
            _number(one.logme, "{:.2f}"),
            _number(one.mean_rank, "{:.1f}"),
            _number(one.cost.p50_ms if one.cost else None, "{:.1f}"),
            _number(one.cost.size_bytes / 1e6 if one.cost else None, "{:.1f}"),
        )
        for one in advice.candidates
    ]
    header = ("backbone", "top-1", "kNN", "ridge", "LogME", "rank", "ms", "MB")
    lines = table(header, rows).rstrip().splitlines()
    lines += _wrapped([f"left out: {one.name}, {one.left_out}" for one in advice.candidates if one.left_out])
    return lines + (_wrapped(_race(advice.race)) if advice.race else [])


def _race(found: Race) -> list[str]:
    laps = [f"{lap.name} {lap.loss:.3f} in round {lap.round}" for lap in found.laps]
    lines = [f"race, loss in nats: {', '.join(laps) or 'none ran'}"]
    if found.lead:
        first, second, *_ = found.order
        ranking = [lap.name for lap in found.laps]
        stands = ", so the ranking stands" if ranking.index(first) < ranking.index(second) else ""
        verdict = "proven" if found.lead.proven else f"not proven{stands}"
        lines.append(f"{first} leads {second} by {found.lead.value:.3f} ± {found.lead.error:.3f}, {verdict}")
    return [*lines, f"race stopped: {found.stopped}"] if found.stopped else lines


def _similarity(backbone: str, found: Similarity) -> list[str]:
    def lift(name: str, one: Lift) -> tuple[str, ...]:
        return (
            name,
            f"{one.pretrained:.3f}",
            f"{one.random:.3f}",
            f"{one.value:+.3f}",
            f"{one.low:+.3f} to {one.high:+.3f}",
        )

    lines = [f"{backbone} on {found.n:,} training pictures, one left out; chance {found.chance:.3f}"]
    header = ("accuracy", "pretrained", "random", "lift", "95 % interval")
    lines += table(header, [lift("ridge", found.ridge), lift("kNN", found.knn)]).rstrip().splitlines()
    lines.append(f"p-value against shuffled labels {found.signal_p:.3f}, random {found.random_signal_p:.3f}")
    if found.distances:
        first, last = found.distances[0], found.distances[-1]
        ends = f"{first.distance:.2f} at the input (chance {first.floor:.2f})"
        ends += f", {last.distance:.2f} at the features (chance {last.floor:.2f})"
        lines.append(f"distance from the pretraining pictures: {ends}{_thirds(found)}")
    return [line for one in lines for line in ([one] if len(one) <= _WIDTH else _wrapped([one]))]


def _thirds(found: Similarity) -> str:
    """Tell both ends of a network apart, where layers of both have a reference."""
    if found.shallow is None or found.deep is None:
        return ""
    return f"; {found.shallow:.2f} over the first third of the network, {found.deep:.2f} over the last"


def _resources(found: Resources) -> list[str]:
    memory, disk = found.memory_bytes / 2**30, found.disk_bytes / 2**30
    minutes = ", ".join(f"{name} {value:.1f}" for name, value in found.minutes.items())
    room = f"{memory:.1f} GiB of memory and {disk:.0f} GiB of disk free"
    speed = f"{found.pictures_per_s:.0f} pictures/s through the network"
    machine = f"{found.cores} cores, {room}, {found.accelerator or 'no GPU'}; {speed}"
    return _wrapped([machine, f"minutes: {minutes}; allowed {found.budget_minutes:.1f}"])


def _plan(advice: Advice, flags: Sequence[str]) -> list[str]:
    plan = advice.plan
    lines = [f"about {plan.minutes:.1f} minutes with {advice.backbone}", *plan.reasons]
    lines += [f"not tried: {name}, {reason}" for name, reason in advice.unprobed.items()]
    next_ = f"this advice took {advice.seconds:.0f} s. Next: edgetl train DATA --backbone auto"
    return [*_wrapped(lines), *_command([next_, *flags, "--out RUN"])]


def _command(parts: Sequence[str]) -> list[str]:
    """Put the parts of a command on lines that a shell takes for one; a part stays whole, however long."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + len("  \\") <= _WIDTH:
            lines[-1] += f" {part}"
        else:
            lines[-1] += " \\"
            lines.append(f"  {part}")
    return lines


def _number(value: float | None, form: str) -> str:
    return "" if value is None or math.isnan(value) else form.format(value)


def _wrapped(lines: Sequence[str]) -> list[str]:
    wrapped = [
        textwrap.wrap(line, _WIDTH, subsequent_indent=_indent(line), break_long_words=True) for line in lines
    ]
    return [part for parts in wrapped for part in parts]


def _indent(line: str) -> str:
    """Return the indent of what does not fit a line, two columns beyond its own."""
    return " " * (2 + len(line) - len(line.lstrip()))
