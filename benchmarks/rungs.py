"""What each rung of the int8 ladder is worth: all of them climbed, whatever the one before gave.

    python -m benchmarks.rungs --work DIR

Takes the demo's run, those of `benchmarks.export --work DIR`, and more of the same making whose networks are
known to be hard for int8. Figures are those of the choosing pictures, by which the ladder itself goes on or
stops. Writes the table of docs/quantization.md.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.export import MAX_DROP, NAMES, pictures_of, place, trained
from benchmarks.pages import markdown, write_table
from edgetl.pipeline import export_run
from edgetl_exporters.ladder import ROOM
from edgetl_exporters.model import Cpu
from edgetl_exporters.rungs import RUNGS

_DEMO = Path("demo/run")
# Gates and SiLU; attention across channels; layer norms and GELU.
_HARD = ("timm/efficientnet_b0", "timm/edgenext_xx_small", "timm/convnext_atto")
# For processors whose weights must have 7 bits; of the networks that lose the most with 8.
_NARROW = ("timm/mobilenetv3_small_100", "timm/efficientnet_b0")
_PRESENTABLE = "edgetl_exporters.ladder._presentable"


@dataclass(frozen=True, slots=True)
class Worth:
    """A rung on the choosing pictures. drop: of accuracy, 0–1. loss: balanced cross entropy in nats."""

    drop: float
    loss: float
    passes: bool


def main() -> int:
    """Climb where it was not done, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args().work
    data = pictures_of(work / "fashion")
    runs = {name: trained(name, data, place(work, name)) for name in (*NAMES, *_HARD)}
    if _DEMO.exists():
        runs["the demo's detector"] = _DEMO
    found = {name: _worth(run, place(work, name) / "ladder.json", "vnni") for name, run in runs.items()}
    found |= {
        f"{name}, 7 bits": _worth(runs[name], place(work, name) / "ladder-7.json", "any") for name in _NARROW
    }
    write_table("quantization.md", "rungs.py", table(found))
    return 0


def _worth(run: Path, kept: Path, cpu: Cpu) -> dict[str, Worth]:
    """Climb all rungs, none of which is good enough to be verified, or read what was found."""
    if not kept.exists():
        with TemporaryDirectory() as folder, patch(_PRESENTABLE, lambda *given: []):
            report = export_run(run, Path(folder) / "bundle", max_drop=MAX_DROP, on_miss="fp16", cpu=cpu)
        rows = {row.rung: [row.drop, row.loss, row.passes] for row in report.rungs}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    told: dict[str, list[Any]] = json.loads(kept.read_text(encoding="utf-8"))
    found = {rung: Worth(*values) for rung, values in told.items()}
    print(run, cpu, found, flush=True)
    return found


def table(found: Mapping[str, Mapping[str, Worth]]) -> str:
    """Return a line for each network: drop in points and loss by rung, bold the one that decides."""
    lines = [["network", *(rung.name for rung in RUNGS)]]
    for network, worth in found.items():
        room = [ROOM, *[1.0] * (len(RUNGS) - 1)]
        good = [
            rung.name
            for rung, share in zip(RUNGS, room, strict=True)
            if rung.name in worth and worth[rung.name].passes and worth[rung.name].drop <= share * MAX_DROP
        ]
        lines.append([network, *(_cell(worth, rung.name, good[:1]) for rung in RUNGS)])
    return markdown(lines)


def _cell(worth: Mapping[str, Worth], rung: str, deciding: Sequence[str]) -> str:
    if rung not in worth:
        return ""
    text = f"{100 * worth[rung].drop:+.2f} ({worth[rung].loss:.3f})"
    return f"**{text}**" if rung in deciding else text


if __name__ == "__main__":
    sys.exit(main())
