"""Tables as text, 80 columns wide. Knows nothing about what is in them."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

_WIDTH = 80


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table as text, its first column flush left, the others flush right."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(header):
        drawn.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*map(str, row))
    text = io.StringIO()
    Console(file=text, width=_WIDTH, markup=False, highlight=False, emoji=False).print(drawn)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
