"""The trials on the front in int8: exported, measured on validation, and kept as bundles beside their runs.

To export every trial would take longer than to train it; those on the front are the ones that anybody takes.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgetl.events import Watcher
from edgetl.pipeline import export_run
from edgetl_exporters.report import Report
from edgetl_runtime.atomic import write_json
from edgetl_runtime.errors import ContractError, InputError

VARIANT = "openvino-int8"
_FACTS = "int8.json"


def measure_int8(folders: Iterable[Path], watcher: Watcher) -> None:
    """Export the runs of these trials, unless that was done before; a refusal is kept as a reason."""
    for folder in folders:
        if (folder / _FACTS).exists():
            continue
        watcher.note(f"{folder.name}: int8")
        try:
            write_json(folder / _FACTS, _measured(folder, watcher))
        except InputError as error:  # Such as pictures that were moved: its float model stands.
            watcher.note(f"{folder.name} is not measured in int8 now: {error}")


def int8_facts(folder: Path) -> dict[str, Any]:
    """Return what was measured of a trial's int8: a reason, or figures; nothing where it was not measured."""
    path = folder / _FACTS
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _measured(folder: Path, watcher: Watcher) -> dict[str, Any]:
    bundle = folder / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)  # Of a process that died before it wrote the facts.
    try:
        report = export_run(
            folder / "run", bundle, variants=(VARIANT, "openvino-fp16"), on_miss="fp16", watcher=watcher
        )
    except ContractError as error:  # Told in the table; the trial's float model stands.
        watcher.note(f"{folder.name} has no int8: {error}")
        return {"reason": str(error)}
    return _facts(report)


def _facts(report: Report) -> dict[str, Any]:
    """Return its accuracy on the choosing half and on the verifying one, and its cost."""
    rows = [row for row in report.variants if row.name == VARIANT]
    taken = [rung for rung in report.rungs if rung.verified]
    if not rows or not taken:
        return {"reason": report.left_out.get(VARIANT, "it is not in the bundle")}
    row, rung = rows[0], taken[-1]
    return {
        "rung": rung.rung,
        "chosen": _figure(rung.accuracy),
        "verified": _figure(row.accuracy),
        "p50_ms": row.p50_ms,
        "size_mb": row.size_bytes / 1e6,
        "certified": row.certified,
    }


def _figure(figure: Any) -> dict[str, Any]:  # edgetl_runtime.metrics.Figure, whose fields are asked by name
    return {name: getattr(figure, name) for name in ("name", "value", "low", "high", "n")}
