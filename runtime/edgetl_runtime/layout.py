"""Paragraphs and columns of plain text that fits 80 columns. Knows nothing about what it lays out."""

import textwrap
from collections.abc import Sequence

WIDTH = 80


def paragraphs(*parts: str) -> str:
    """Join what is not empty by empty lines."""
    return "\n\n".join(part for part in parts if part)


def wrap(text: str, indent: int = 0) -> str:
    """Break at spaces; lines after the first are indented."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
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
