"""What a search has found: a row for each model, float or int8, and which of them are on the front."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgetl.search.asked import Asked, PrecisionName
from edgetl.search.front import Point, front
from edgetl.search.in_int8 import int8_facts
from edgetl.search.space import Configuration
from edgetl.search.trials import Trial, trial_folder

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Row:
    """A model that may be taken.

    point: what the front is drawn by. chosen: its accuracy on the choosing half of validation, with 95 %
    interval and n; every choice was made there, so that it flatters. verified: the same on the verifying
    half, which nothing was chosen on. step: the last one that was kept. run: its folder; None where another
    machine has it.
    """

    trial: int
    configuration: Configuration
    precision: PrecisionName
    point: Point
    chosen: Mapping[str, Any]
    verified: Mapping[str, Any]
    step: str
    run: Path | None
    on_front: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """A search as it stands.

    rows: models, the most accurate first. no_int8: by number of trial, why its int8 is not among them.
    note: why the search ended.
    """

    study: str
    asked: Asked
    trials: tuple[Trial, ...]
    rows: tuple[Row, ...]
    no_int8: Mapping[int, str]
    note: str
    interrupted: bool

    @property
    def best(self) -> Row | None:
        """The most accurate model, of equal ones the fastest; the float run can be exported from here."""
        here = [row for row in self.rows if row.run is not None and row.on_front]
        return here[0] if here else None

    def to_json(self) -> dict[str, Any]:
        """Give all of it as JSON can hold it, without the database's URL, which may hold a password."""
        return {
            "format_version": FORMAT_VERSION,
            "study": self.study,
            "note": self.note,
            "interrupted": self.interrupted,
            "limits": asdict(self.asked.limits),
            "front": [_row(row) for row in self.rows if row.on_front],
            "models": [_row(row) for row in self.rows],
            "no_int8": {str(number): reason for number, reason in self.no_int8.items()},
            "trials": [_trial(one) for one in self.trials],
            "best": None if self.best is None else {"trial": self.best.trial, "run": str(self.best.run)},
        }


def find_rows(trials: Sequence[Trial], out: Path) -> tuple[Row, ...]:
    """Return all models of the trials that are complete, the most accurate first, and mark the front."""
    rows = [row for one in trials if one.state == "complete" for row in _rows(one, out)]
    best = set(front([row.point for row in rows]))
    marked = [replace(row, on_front=place in best) for place, row in enumerate(rows)]
    return tuple(sorted(marked, key=lambda row: (-row.point.accuracy, row.point.p50_ms, row.trial)))


def float_front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials whose float models are on the front."""
    done = [one for one in trials if one.point is not None]
    return [done[place] for place in front([one.point for one in done if one.point is not None])]


def _rows(trial: Trial, out: Path) -> list[Row]:
    assert trial.point is not None
    folder = trial_folder(out, trial.number)
    here = str(folder.resolve()) == trial.facts["folder"] and folder.is_dir()
    facts, step = trial.facts, str(trial.facts["step"])
    run = folder / "run" if here else None
    row = Row(
        trial.number,
        trial.configuration,
        "float",
        trial.point,
        facts["chosen"],
        facts["verified"],
        step,
        run,
    )
    int8 = int8_facts(folder) if here else {}
    if "p50_ms" not in int8:
        return [row]
    point = Point(int8["chosen"]["value"], int8["p50_ms"], int8["size_mb"])
    return [
        row,
        Row(trial.number, trial.configuration, "int8", point, int8["chosen"], int8["verified"], step, run),
    ]


def _row(row: Row) -> dict[str, Any]:
    return {
        "trial": row.trial,
        **row.configuration.params(),
        "precision": row.precision,
        "accuracy": dict(row.chosen),
        "verified": dict(row.verified),
        "p50_ms": row.point.p50_ms,
        "size_mb": row.point.size_mb,
        "step": row.step,
        "run": None if row.run is None else str(row.run),
        "on_front": row.on_front,
    }


def _trial(one: Trial) -> dict[str, Any]:
    return {"number": one.number, **one.configuration.params(), "state": one.state, **one.facts}
