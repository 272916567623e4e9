"""docs/benchmarks.md, made of benchmarks/measured and benchmarks/cells: `python -m benchmarks.page`.

Nothing on the page is typed, and nothing is run: a figure gets there by measuring it.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks import train_table, train_targets
from benchmarks.measured import Measured, read
from benchmarks.pages import markdown
from benchmarks.targets import Row
from edgetl_runtime.atomic import write_text

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Written by `python -m benchmarks.page` from what lies in `benchmarks/measured` and `benchmarks/cells`; each
section names the command that measures it again, and `make bench` runs those of the demo's model. Medians;
ratios are paired, round by round in one process, where a section says nothing else; peers run in environments
of their own (`benchmarks/peers/make.sh`; for those of training, `benchmarks/peers/make.sh train`). *Load* is
how many processes wanted a processor just before: above the number of cores, times are too long. Which layers
to train is in [ablations](ablations.md), what int8 costs six networks in [quantization](quantization.md),
which networks export in [backbones](backbones.md).
"""
_TRAINING = "Training beside its peers"
_TRAINED = f"""## {_TRAINING}

`python -m benchmarks.train`: the same pictures, the same weights of EfficientNet-Lite0, the same cores; the
test pictures are used once. *s* is by the clock, *core-s* of all cores together. Intervals are paired, 95 %,
pictures drawn with what was said of them in all seeds, those of one file name together; times are means over
seeds. What is sooner is the first of ours that is at least as good as the peer.
"""
# Shown as a table of their own, or of no use to a reader.
_UNSAID = ("targets", "packages")


def main() -> int:
    """Write the page."""
    write_text(PAGE, page(read(), train_table.all_cells()))
    return 0


def page(measured: Mapping[str, Measured], training: Mapping[str, train_table.Cells]) -> str:
    """Return the page. training: the cells of `benchmarks.train`, by set and method."""
    beside_peers = train_targets.rows(training)
    rows = [(one.title, row) for one in measured.values() for row in one.rows()]
    rows += [(_TRAINING, row) for row in beside_peers]
    parts = [_HEAD, _machines(measured.values()), _missed(rows)]
    parts += [_section(one) for one in measured.values()]
    if training:
        parts += [f"{_TRAINED}\n{_targets(beside_peers)}", f"{train_table.page(training)}\n"]
    return "\n".join(part for part in parts if part)


def _machines(measured: Iterable[Measured]) -> str:
    """Name each machine once."""
    told = dict.fromkeys(_machine(one.machine) for one in measured)
    return "".join(f"- {line}\n" for line in told)


def _machine(facts: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    processor = f"{facts['cores']} cores, {facts['cpu']} ({', '.join(facts['flags'])})"
    return f"{processor}; {facts['python']}; {versions}"


def _missed(rows: Iterable[tuple[str, Row]]) -> str:
    missed = [(title, row.what, row.told, row.target) for title, row in rows if row.outcome != "met"]
    if not missed:
        return ""
    return f"## What is missed\n\n{_markdown([('', 'figure', 'measured', 'target'), *missed])}"


def _section(one: Measured) -> str:
    head = f"## {one.title}\n\n`{one.command}`, {one.date}, load {one.machine['load']:.1f}\n"
    parts = [head, _targets(one.rows()), *_figures(_shown(one.figures), "")]
    return "\n".join(part for part in parts if part)


def _targets(rows: Sequence[Row]) -> str:
    told = [(row.what, row.told, row.target, row.outcome) for row in rows]
    return _markdown([("", "measured", "target", ""), *told]) if told else ""


def _figures(figures: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield a table of what has no parts, then of the parts; those of one shape are lines of one table."""
    plain = {key: value for key, value in figures.items() if not isinstance(value, Mapping)}
    if plain:
        yield _markdown([(name, ""), *((key, _told(value)) for key, value in plain.items())])
    parts = [(key, value) for key, value in figures.items() if isinstance(value, Mapping)]
    for columns, group in groupby(parts, lambda part: _columns(part[1])):
        alike = list(group)
        if columns and len(alike) > 1:
            lines = ((key, *map(_told, part.values())) for key, part in alike)
            yield _markdown([(name, *columns), *lines])
        else:
            for key, part in alike:
                yield from _figures(part, f"{name}, {key}" if name else key)


def _columns(part: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a part's figures; none where it has parts itself."""
    return () if any(isinstance(value, Mapping) for value in part.values()) else tuple(part)


def _shown(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what has a table of its own and what is empty."""
    deep = {key: _shown(one) if isinstance(one, Mapping) else one for key, one in figures.items()}
    return {key: one for key, one in deep.items() if key not in _UNSAID and one not in ({}, [])}


def _told(value: Any) -> str:
    """Say a figure; three numbers are one with its interval."""
    if isinstance(value, list):
        texts = [_told(one) for one in value]
        is_interval = len(value) == 3 and all(isinstance(one, float) for one in value)
        return f"{texts[0]} [{texts[1]}, {texts[2]}]" if is_interval else ", ".join(texts)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _markdown(table: Iterable[Sequence[str]]) -> str:
    return markdown([_cell(text) for text in line] for line in table)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").replace("_", " ").split())


if __name__ == "__main__":
    sys.exit(main())
