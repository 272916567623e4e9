"""`rollback`: back to the bundle that was in use before."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from edgetl_runtime.cli.arguments import add_target, add_trust, where
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import note, to_json
from edgetl_runtime.commands import run_rollback

SUMMARY = "Go back to the bundle that was installed before."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("into", metavar="DIR", type=Path, help="folder that `install` filled")
    add_target(parser)
    add_trust(parser)


def run(given: Namespace) -> Outcome:
    """Verify and prove the bundle before, then switch to it."""
    from edgetl_runtime.presentation import render_pointer

    pointer = run_rollback(given.into, trust=given.trust, where=where(given), notify=note)
    return Outcome(to_json(asdict(pointer)) if given.json else render_pointer(given.into, pointer))
