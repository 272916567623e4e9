"""docs/backbones.md: a line for each backbone that was exported and compared; read back, so that it grows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgetl_exporters.parity import MOST_OFF

MOST_PARAMETERS = 30_000_000
CLASSES = 10
_INTRODUCTION = f"""# Backbones that export

Written by `python -m benchmarks.backbones`: backbones of torchvision and timm of at most 30 million
parameters, with a head of {CLASSES} classes, in float32 through ONNX Runtime and OpenVINO, against torch on
squares of seven photographs. Weights that were not on the machine were random, batch norms estimated on the
pictures; answers vary for every network of the first table. All answers agree, but for ties that rounding
decides. *Off* is the largest difference of a logit, as a share of their range: at most {MOST_OFF:g}.
"""
_HEADER = "| backbone | million parameters | pixels | weights | pictures | different answers | off |"


@dataclass(frozen=True, slots=True)
class Row:
    """A backbone's line. agree: of `n` pictures, by engine; answers: how many different ones there were.

    off: the largest difference of a logit, as a share of their range. problem: empty where all is well.
    """

    name: str
    parameters: int = 0
    size: int = 0
    weights: str = ""
    n: int = 0
    answers: int = 0
    onnxruntime: int = 0
    openvino: int = 0
    off: float = 0.0
    problem: str = ""


def page(rows: Sequence[Row], total: int) -> str:
    """Return docs/backbones.md, from which `read_page` gets the rows back; total: tried or not."""
    rows = sorted(rows, key=lambda row: row.name)
    good, bad = [row for row in rows if not row.problem], [row for row in rows if row.problem]
    lines = [
        _INTRODUCTION,
        f"{len(rows)} of {total} were tried; {len(good)} of them agree on every picture with both engines.",
        "",
        _HEADER,
        "|---|---|---|---|---|---|---|",
        *map(_line, good),
    ]
    if bad:
        lines += ["", "Those that do not, and why:", "", "| backbone | reason |", "|---|---|"]
        lines += [f"| {row.name} | {row.problem.replace('|', '/')} |" for row in bad]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    weights = "pretrained" if row.weights == "default" else "random"
    start = f"| {row.name} | {row.parameters / 1e6:.1f} | {row.size} | {weights}"
    return f"{start} | {row.n} | {row.answers} | {row.off:.0e} |"


def read_page(text: str) -> dict[str, Row]:
    """Return the rows of a page by their names."""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and re.fullmatch(r"[\d.]+", cells[1]):
            rows.append(_good(*cells))
        elif len(cells) == 2 and cells[0] not in ("backbone", "---"):
            rows.append(Row(cells[0], problem=cells[1]))
    return {row.name: row for row in rows}


def _good(name: str, millions: str, size: str, weights: str, n: str, answers: str, off: str) -> Row:
    kind, agree = "default" if weights == "pretrained" else "none", int(n)
    parameters = round(1e6 * float(millions))
    return Row(name, parameters, int(size), kind, agree, int(answers), agree, agree, float(off))
