"""Vela, Arm's compiler for Ethos-U: what it is told, and what it says of a network that it compiled.

It returns 0 even when no operator is on the NPU, so that what counts is its summary and the compiled file.
All figures are its estimates for the system that it is told of; no NPU is timed here.
"""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetl_exporters.to_tflite import operators_in
from edgetl_runtime.errors import ContractError

ON_NPU = "ethos-u"

_CONFIG = "Arm/vela.ini"
_COUNT = r"^{} operators = (\d+)"
_COLUMNS = (
    "sram_memory_used",
    "dram_memory_used",
    "off_chip_flash_memory_used",
    "core_clock",
    "cycles_total",
)
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Accelerator:
    """An NPU as Vela knows it, in a system with memories of some speed, and how these are used."""

    name: str
    system: str
    memory_mode: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What Vela says of a network: operators by where they run, and estimates for one picture.

    sram_kib, dram_kib, flash_kib: of memory that is used, in units of 1,024 bytes. clock_hz: of the NPU in
    the system. cycles: of it, with its waits for memory.
    """

    npu_operators: int
    cpu_operators: int
    sram_kib: float
    dram_kib: float
    flash_kib: float
    clock_hz: float
    cycles: int


# How Vela is called: its arguments, and what it prints.
Vela = Callable[[Sequence[str]], str]


def compile_for(vela: Vela, model: Path, accelerator: Accelerator, out: Path) -> tuple[Path, Summary]:
    """Compile a .tflite file into the folder `out`; return the compiled file, and the summary.

    Raises:
        ContractError: some operators are not on the NPU; all are named.
    """
    told = vela(
        [
            str(model),
            *("--accelerator-config", accelerator.name, "--config", _CONFIG),
            *("--system-config", accelerator.system, "--memory-mode", accelerator.memory_mode),
            *("--output-dir", str(out)),
        ]
    )
    table = out / f"{model.stem}_summary_{accelerator.system}.csv"
    summary = read_summary(told, table.read_text(encoding="utf-8") if table.is_file() else "")
    compiled = out / f"{model.stem}_vela.tflite"
    refuse_cpu(accelerator, summary, operators_in(compiled.read_bytes()))
    return compiled, summary


def read_summary(told: str, table: str) -> Summary:
    """Read what Vela printed, and its table of one row.

    Raises:
        ContractError: a figure is missing, as it may be where Vela is another version.
    """
    counts = {where: re.search(_COUNT.format(where), told, re.MULTILINE) for where in ("CPU", "NPU")}
    row = next(csv.DictReader(table.splitlines()), {})
    missing = [f"{where} operators" for where, found in counts.items() if found is None]
    missing += [column for column in _COLUMNS if not _is_number(row.get(column))]
    if missing:
        last = " ".join(told.strip().splitlines()[-3:])
        raise ContractError(
            f"Vela's summary lacks {', '.join(missing)}. It says last: {last!r}. Report this with the "
            "backbone's name."
        )
    cpu, npu = (int(found[1]) for found in counts.values() if found is not None)
    sram, dram, flash, clock, cycles = (float(row[column]) for column in _COLUMNS)
    return Summary(npu, cpu, sram, dram, flash, clock, int(cycles))


def refuse_cpu(accelerator: Accelerator, summary: Summary, operators: Sequence[tuple[str, str]]) -> None:
    """Refuse a compiled file where anything is left for the CPU, or nothing is for the NPU.

    Raises:
        ContractError: by Vela's count, or by what is in the file.
    """
    left = [f"{kind} {name!r}" for kind, name in operators if kind != ON_NPU]
    if not left and not summary.cpu_operators and summary.npu_operators:
        return
    total = summary.cpu_operators + summary.npu_operators
    more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    raise ContractError(
        f"Vela leaves {max(summary.cpu_operators, len(left))} of {total} operators to the CPU of "
        f"{accelerator.name}: {', '.join(left[:_MOST_NAMED]) or 'it names none'}{more}. All must be on the "
        "NPU: choose a backbone without them, such as efficientnet_lite0, or smaller pictures, or leave the "
        "variant out."
    )


def _is_number(text: str | None) -> bool:
    return bool(re.fullmatch(r"\d+(\.\d*)?([eE][+-]?\d+)?", text or ""))
