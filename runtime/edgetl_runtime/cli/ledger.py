"""`ledger`: how often test sets were used to decide."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import to_json

SUMMARY = "Show how often test sets were used to decide."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("file", metavar="FILE", type=Path, help="what `check --ledger` appends to")


def run(given: Namespace) -> Outcome:
    """Read the file; it is never changed."""
    from edgetl_runtime.ledger import read_ledger
    from edgetl_runtime.presentation import render_ledger

    ledger = read_ledger(given.file)
    sets = [
        asdict(wear) | {"outcomes": dict(wear.outcomes), "worn": wear.worn} for wear in ledger.test_sets()
    ]
    facts = {"test_sets": sets, "damaged": ledger.damaged}
    return Outcome(to_json(facts) if given.json else render_ledger(ledger))
