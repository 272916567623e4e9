"""What each rung of the int8 ladder is worth: all of them climbed, whatever the one before gave.

    python -m benchmarks.rungs --work DIR

Takes the demo's run, those of `benchmarks.export --work DIR`, and more of the same making whose networks are
known to be hard for int8. Figures are those of the choosing pictures, by which the ladder itself goes on or
stops. Writes the table of docs/quantization.md.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from benchmarks.export import MAX_DROP, NAMES, fashion, place, trained
from benchmarks.pages import markdown, write_table
from edgetl.pipeline import export_run
from edgetl_exporters.rungs import TIERS

_DEMO = Path("demo/run")
# Gates and SiLU; attention; sums of branches whose scales differ; layer norms and GELU.
_HARD = ("timm/efficientnet_b0", "timm/mobilevit_xxs", "timm/repvgg_a0", "timm/convnext_atto")
_EVERY = tuple(chain.from_iterable(TIERS))
_FILE = "rungs.json"
_TIERS_FOR = "edgetl_exporters.ladder.tiers_for"


@dataclass(frozen=True, slots=True)
class Worth:
    """A rung on the choosing pictures. drop: of accuracy, 0–1. loss: balanced cross entropy in nats."""

    drop: float
    loss: float


def main() -> int:
    """Climb where it was not done, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args().work
    pictures, found = fashion(work / "fashion"), {}
    for name in (*NAMES, *_HARD):
        folder = place(work, name)
        found[name] = _worth(trained(name, pictures, folder), folder / _FILE)
        print(name, found[name], flush=True)
    if _DEMO.exists():
        found["the demo's detector"] = _worth(_DEMO, place(work, "the demo's detector") / _FILE)
    write_table("quantization.md", "rungs.py", table(found))
    return 0


def _worth(run: Path, kept: Path) -> dict[str, Worth]:
    """Climb all rungs in one tier, or read what was found."""
    if not kept.exists():
        with TemporaryDirectory() as folder, patch(_TIERS_FOR, lambda model: (_EVERY,)):
            report = export_run(run, Path(folder) / "bundle", max_drop=MAX_DROP, on_miss="fp16")
        rows = {row.rung: [row.drop, row.loss] for row in report.rungs}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    told: dict[str, list[float]] = json.loads(kept.read_text(encoding="utf-8"))
    return {rung: Worth(*values) for rung, values in told.items()}


def table(found: Mapping[str, Mapping[str, Worth]]) -> str:
    """Return a line for each rung: drop in points and loss by network, bold where cheaper ones drop more."""
    lines = [["rung", *found]]
    for number, rung in enumerate(_EVERY):
        cheaper = [one.name for one in _EVERY[:number]]
        lines.append([rung.name, *(_cell(worth, rung.name, cheaper) for worth in found.values())])
    return markdown(lines)


def _cell(worth: Mapping[str, Worth], rung: str, cheaper: list[str]) -> str:
    if rung not in worth:
        return ""
    one = worth[rung]
    text = f"{100 * one.drop:+.2f} ({one.loss:.3f})"
    is_best = all(one.drop < worth[name].drop for name in cheaper if name in worth)
    return f"**{text}**" if is_best else text


if __name__ == "__main__":
    sys.exit(main())
