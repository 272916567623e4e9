"""`doctor`: what this machine has, what is known to go wrong on it, and what a bundle would be opened as."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edgetl_runtime.cli.arguments import add_target, add_trust, where
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import to_json
from edgetl_runtime.commands import run_doctor

SUMMARY = "Tell what this machine has, what is missing, and how to get it."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    bundle = "folder or zip that edgetl exported: tells which variant would run where, and why"
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, nargs="?", help=bundle)
    add_target(parser, device="auto")
    add_trust(parser)


def run(given: Namespace) -> Outcome:
    """Look; where the bundle cannot be opened the exit code says so."""
    from edgetl_runtime.diagnosis import render_examination

    found = run_doctor(given.bundle, where=where(given))
    text = to_json(found.to_json()) if given.json else render_examination(found)
    return Outcome(text, found.exit_code)
