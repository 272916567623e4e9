"""Measure every claim of the README on the demo's run and bundle: `make bench`. Runs the demo if need be.

Prints each figure beside its target and writes all of them to benchmarks/results/latest.json.
"""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import (
    export_time,
    features,
    gate,
    install,
    int8,
    machine,
    parity,
    report,
    runtime,
    solar_cells,
)
from edgetl.cli import main as edgetl

_DEMO = Path("demo")
_RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    """Run all, print and write."""
    results: dict[str, Any] = {"machine": machine.facts()}
    if not (_DEMO / "receipts").exists():
        begun = perf_counter()
        code = edgetl(["demo", "--out", str(_DEMO)])
        if code != 0:
            return code
        results["demo"] = {"seconds": round(perf_counter() - begun), "target": "< 240 s"}
    csv, run, bundle = _DEMO / "solar-cells.csv", _DEMO / "run", _DEMO / "bundle"
    measures = {
        "feature extraction": lambda: features.measure(csv),
        "parity on the test pictures": lambda: parity.measure(csv, run, bundle),
        "OpenVINO, batch 1": lambda: int8.measure_speed(bundle),
        "an export": lambda: export_time.measure(run),
        "quantizers and heads on the test pictures": lambda: int8.measure_heads(csv, run, bundle),
        "the demo's model on the test pictures": lambda: solar_cells.measure(csv, _DEMO / "receipts"),
        "the runtime installed alone": install.measure,
        "the runtime beside its limit and its peers": lambda: runtime.measure(bundle),
        "check on 100,000 pictures": gate.measure,
        "a report of 10,000 pictures": report.measure,
    }
    for name, measure in measures.items():
        results[name] = measure()
        print(f"\n{name}\n{json.dumps(results[name], indent=2)}", flush=True)
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\nWritten: {_RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
