"""What was measured, a JSON file for each claim, in the repository: docs/benchmarks.md is made of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import facts
from benchmarks.targets import Row

FOLDER = Path(__file__).parent / "measured"


@dataclass(frozen=True, slots=True)
class Measured:
    """A claim's figures. title: as people read it. command: what measures it again. date: ISO, UTC.

    figures: nested by name; "targets" are lists of `Row.facts`, wherever they stand.
    """

    title: str
    command: str
    date: str
    machine: dict[str, Any]
    figures: dict[str, Any]

    def rows(self) -> list[Row]:
        """Return all figures that have a target."""
        return list(_rows(self.figures))


def write(name: str, title: str, command: str, figures: Mapping[str, Any]) -> Measured:
    """Keep what was measured just now on this machine."""
    date = datetime.now(UTC).date().isoformat()
    found = Measured(title, command, date, facts(), dict(figures))
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(asdict(found), indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return found


def read(folder: Path = FOLDER) -> dict[str, Measured]:
    """Return everything that was kept, by name."""
    files = sorted(folder.glob("*.json"))
    return {file.stem: Measured(**json.loads(file.read_text(encoding="utf-8"))) for file in files}


def _rows(figures: Mapping[str, Any]) -> Iterator[Row]:
    for name, value in figures.items():
        if name == "targets":
            yield from map(Row.from_facts, value)
        elif isinstance(value, Mapping):
            yield from _rows(value)
