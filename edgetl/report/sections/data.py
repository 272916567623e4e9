"""The data card: how many pictures of which class in which split, and what was left out. Opens no picture."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgetl.report.facts import Facts, Missing
from edgetl_runtime.errors import InputError
from edgetl_runtime.receipt import Receipt

_SPLITS_FILE = "dataset.csv"
_SPLITS = {"train": "for training", "val": "for validation", "test": "for testing"}
_MOST_CLASSES = 50
_MOST_ERRORS = 5


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class and its pictures in each split; `share` of the largest class, 0–1."""

    name: str
    counts: tuple[int, ...]
    total: int
    share: float


@dataclass(frozen=True, slots=True)
class Context:
    """What the pictures are. classes: the largest first; `more` are not shown."""

    facts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    classes: tuple[ClassRow, ...]
    more: int
    left_out: tuple[tuple[str, str], ...]
    left_out_more: int


def context(facts: Facts) -> Context | Missing:
    """Describe the data by the run where there is one, else by the pictures of the baseline."""
    run, receipts = facts.sources.run, facts.sources.receipts
    baseline = receipts[0].receipt if receipts else None
    if run is None and baseline is None:
        return Missing("give the run, or a receipt")
    if run is not None and facts.sources.run_folder is not None:
        counted = _of_run(facts.sources.run_folder / _SPLITS_FILE)
        columns: tuple[str, ...] = tuple(split for split in _SPLITS if split in counted)
        lines = _run_facts(facts)
    else:
        assert baseline is not None
        counted = {baseline.dataset.split or "all": _of_receipt(baseline)}
        columns = tuple(counted)
        lines = []
    if baseline is not None:
        lines += _receipt_facts(baseline)
    rows = _rows(counted, columns)
    errors = [(one.path.as_posix(), one.reason) for one in (baseline.errors if baseline else ())]
    return Context(
        facts=tuple(lines),
        columns=columns,
        classes=rows[:_MOST_CLASSES],
        more=max(0, len(rows) - _MOST_CLASSES),
        left_out=tuple(errors[:_MOST_ERRORS]),
        left_out_more=max(0, len(errors) - _MOST_ERRORS),
    )


def _of_run(path: Path) -> dict[str, Counter[str]]:
    """Count labels by split in the table that a run leaves."""
    counted: dict[str, Counter[str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                counted.setdefault(row["split"], Counter()).update(filter(None, row["label"].split("|")))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise InputError(f"{path} is no table of the run's pictures: {error}. Train again.") from error
    return counted


def _of_receipt(receipt: Receipt) -> Counter[str]:
    target = receipt.predictions.target
    if target.ndim == 2:
        counts = target.sum(axis=0).tolist()
        return Counter(dict(zip(receipt.classes, counts, strict=True)))
    return Counter(receipt.classes[place] for place in target.tolist())


def _rows(counted: dict[str, Counter[str]], columns: Iterable[str]) -> tuple[ClassRow, ...]:
    total = sum(counted.values(), Counter[str]())
    most = max(total.values(), default=1)
    names = sorted((name for name in total if name), key=lambda name: (-total[name], name))
    return tuple(
        ClassRow(name, tuple(counted[column][name] for column in columns), total[name], total[name] / most)
        for name in names
    )


def _run_facts(facts: Facts) -> list[tuple[str, str]]:
    run = facts.sources.run
    assert run is not None
    found = run.dataset.get("counts")
    counts = found if isinstance(found, dict) else {}
    named = [(counts.get(split), what) for split, what in _SPLITS.items()]
    said = [f"{count:,} {what}" for count, what in named if isinstance(count, int)]
    lines = [("Pictures", ", ".join(said))] if said else []
    lines.append(("Data set", str(run.dataset.get("path", "not recorded"))))
    return [*lines, ("Task", run.task.replace("_", " "))]


def _receipt_facts(receipt: Receipt) -> list[tuple[str, str]]:
    split = f" of split {receipt.dataset.split}" if receipt.dataset.split else ""
    lines = [("Measured on", f"{receipt.dataset.n:,} pictures{split} of {receipt.dataset.name}")]
    if receipt.errors:
        lines.append(("Left out", f"{len(receipt.errors):,} pictures"))
    return lines
