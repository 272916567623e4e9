"""Tables in Markdown, and their place in pages of the documentation that people write the rest of."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgetl_runtime.atomic import write_text

_DOCS = Path(__file__).parents[1] / "docs"
_END = "<!-- to here -->\n"


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Return a table, of which the first row is the header."""
    header, *lines = rows
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ["---"] * len(header), *lines])


def write_table(page: str, script: str, text: str) -> None:
    """Put text between the marks that a script of benchmarks has in a page of docs/."""
    path, begin = _DOCS / page, f"<!-- benchmarks/{script} writes from here -->\n"
    before, mark, rest = path.read_text(encoding="utf-8").partition(begin)
    if not mark or _END not in rest:
        raise SystemExit(f"error: {path} has no place for {script}: {begin.strip()} and {_END.strip()}")
    write_text(path, before + begin + text + _END + rest.partition(_END)[2])
