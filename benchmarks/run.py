"""Measure every claim on the demo's run and bundle: `make bench`. Runs the demo if need be.

    python -m benchmarks.run [--only features parity …]

Prints each figure beside its target, keeps them in benchmarks/measured, and writes docs/benchmarks.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import (
    export_time,
    features,
    gate,
    head_only,
    install,
    int8,
    measured,
    page,
    parity,
    report,
    runtime,
    solar_cells,
)
from benchmarks.targets import Row, table
from edgetl.cli import main as edgetl

_DEMO = Path("demo")
_CSV, _RUN, _BUNDLE, _RECEIPTS = (_DEMO / name for name in ("solar-cells.csv", "run", "bundle", "receipts"))
_COMMAND = "python -m benchmarks.run --only "
Measure = Callable[[], Mapping[str, Any]]
# By the name of their file: as people read it, and what measures it.
CLAIMS: Mapping[str, tuple[str, Measure]] = {
    "features": ("Feature extraction", lambda: features.measure(_CSV)),
    "head-only": ("Training the head alone", lambda: head_only.measure(_CSV)),
    "parity": ("Parity on the test pictures", lambda: parity.measure(_CSV, _RUN, _BUNDLE)),
    "int8-speed": ("int8 in OpenVINO, batch 1", lambda: int8.measure_speed(_BUNDLE)),
    "export-time": ("An export", lambda: export_time.measure(_RUN)),
    "int8-heads": (
        "Quantizers and heads on the test pictures",
        lambda: int8.measure_heads(_CSV, _RUN, _BUNDLE),
    ),
    "demo-model": (
        "The demo's model on the test pictures",
        lambda: solar_cells.measure(_CSV, _RECEIPTS),
    ),
    "install": ("The runtime installed alone", install.measure),
    "runtime": ("The runtime beside its limit and its peers", lambda: runtime.measure(_BUNDLE)),
    "gate": ("`check`", gate.measure),
    "report": ("A report of 10,000 pictures", report.measure),
}


def main() -> int:
    """Run those that are asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", default=tuple(CLAIMS), choices=tuple(CLAIMS))
    given = parser.parse_args()
    code = 0 if _RECEIPTS.exists() else _demo()
    if code != 0:
        return code
    for name in given.only:
        title, measure = CLAIMS[name]
        found = measured.write(name, title, _COMMAND + name, measure())
        print(f"\n{title}\n{json.dumps(found.figures, indent=2)}\n{table(found.rows())}", flush=True)
    return page.main()


def _demo() -> int:
    begun = perf_counter()
    code = edgetl(["demo", "--out", str(_DEMO)])
    if code == 0:
        row = Row("the demo, after set-up", round(perf_counter() - begun), 240, "s")
        measured.write("demo", "The demo", "make demo", {"targets": [row.facts()]})
    return code


if __name__ == "__main__":
    sys.exit(main())
