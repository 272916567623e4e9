"""What pictures cost by the thousand: cores and memory for listing, indexing, extraction and validation.

    python -m benchmarks.scale --work DIR [--counts 1000 10000 100000]

Each cell is a process of its own and is kept in DIR/cells, so that a stopped measurement goes on; the tables
in docs/scale.md are written from all cells that are there. Small pictures are 32 pixels wide and show what a
picture costs besides its pixels; photos have 500 x 375 pixels and 100 kB, as those of ImageNet.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from benchmarks import machine
from benchmarks.many import Kind, write_files, write_tars
from benchmarks.pages import write_table
from benchmarks.peaks import Phase, Watched, watch
from benchmarks.scale_plan import Layout, Measured, page
from edgetl.cli import main as edgetl
from edgetl_runtime.atomic import write_text

Stage: TypeAlias = Literal["train", "validate"]
_VARIANT = "openvino-fp16"
_PHOTOS = 10_000  # at most: they take 100 kB each
_LAYOUTS: tuple[tuple[Kind, Layout], ...] = (("small", "folders"), ("small", "tars"), ("photos", "tars"))
_CODE: dict[Stage, str] = {
    "train": """
from pathlib import Path
from edgetl.backbones import create_backbone
from edgetl.dataset import split_dataset
from edgetl.features import PLAIN, Extractor
from edgetl.forward import fast_precision
from edgetl_runtime.listing import list_dataset
from edgetl_runtime.pictures import index
mark("list")
list_dataset(Path({data!r}))
mark("index")
found = index({data!r})
mark("compile")
backbone = create_backbone("efficientnet_lite0")
extract = Extractor(backbone, backbone.native.preprocess(), (), fast_precision())
extract(found.pictures[:32], (PLAIN,))
mark("extract")
extract(found.pictures, (PLAIN,))
""",
    "validate": """
from edgetl_runtime.pictures import index
from edgetl_runtime.session import Session
from edgetl_runtime.validation import validate
session = Session.open({bundle!r}, variant={variant!r})
found = index({data!r}, check=False)
mark("validate")
receipt = validate(session, found, split="all")
mark("receipt")
from edgetl_runtime.atomic import write_text
from pathlib import Path
write_text(Path({out!r}), receipt.to_json())
""",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One process to be measured."""

    kind: Kind
    layout: Layout
    count: int
    stage: Stage

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.kind}-{self.layout}-{self.count}-{self.stage}"


def main() -> int:
    """Measure the cells that are missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder with 5 GB of room")
    parser.add_argument("--counts", type=int, nargs="+", default=(1_000, 10_000, 100_000))
    given = parser.parse_args()
    (given.work / "cells").mkdir(parents=True, exist_ok=True)
    for cell in cells(given.counts):
        if not _file(given.work, cell).exists():
            _measure(given.work, cell)
    write_table("scale.md", "scale.py", page(read_cells(given.work)))
    return 0


def cells(counts: list[int]) -> list[Cell]:
    """List what is to be measured, the quick ones first."""
    stages: tuple[Stage, ...] = ("train", "validate")
    return [
        Cell(kind, layout, count, stage)
        for count in sorted(counts)
        for stage in stages
        for kind, layout in _LAYOUTS
        if kind == "small" or count <= _PHOTOS
    ]


def read_cells(work: Path) -> list[Measured]:
    """Read what was measured here, now or before."""
    found = []
    for path in sorted((work / "cells").glob("*.json")):
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        phases = tuple(Phase(**one) for one in told["watched"].pop("phases"))
        watched = Watched(phases, **told["watched"])
        cell = told["cell"]
        found.append(Measured(cell["kind"], cell["layout"], cell["count"], watched, told["machine"]))
    return found


def _measure(work: Path, cell: Cell) -> None:
    write = write_files if cell.layout == "folders" else write_tars
    data = write(work / f"{cell.kind}-{cell.layout}-{cell.count}", cell.count, cell.kind)
    cache = work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    words = {"data": str(data), "bundle": str(_bundle(work)), "out": str(work / "receipt.json")}
    before = machine.facts()
    watched = watch(_CODE[cell.stage].format(**words, variant=_VARIANT), cache)
    told = {"cell": asdict(cell), "watched": asdict(watched), "machine": before}
    write_text(_file(work, cell), json.dumps(told, indent=2) + "\n")
    print(cell.name, *(f"{one.name} {one.seconds:.1f} s" for one in watched.phases), flush=True)


def _bundle(work: Path) -> Path:
    """Make a bundle that knows the two classes, once."""
    bundle = work / "bundle"
    if not bundle.exists():
        data, run = write_files(work / "small-folders-1000", 1_000), str(work / "run")
        for command in (
            ["train", str(data), "--out", run, "--unfreeze", "0"],
            ["export", run, "--out", str(bundle), "--variants", _VARIANT],
        ):
            if code := edgetl(command):
                raise SystemExit(code)
    return bundle


def _file(work: Path, cell: Cell) -> Path:
    return work / "cells" / f"{cell.name}.json"


if __name__ == "__main__":
    sys.exit(main())
