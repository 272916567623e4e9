"""`install`: a bundle into a folder of two slots, proven before it is used."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from edgetl_runtime.cli.arguments import add_session, where
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import note, to_json
from edgetl_runtime.commands import run_install

SUMMARY = "Prove a bundle beside the one in use and switch to it."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_session(parser)
    into = "folder of two slots; made where it is missing"
    parser.add_argument("--into", metavar="DIR", type=Path, required=True, help=into)


def run(given: Namespace) -> Outcome:
    """Install; whatever goes wrong, the bundle in use stays."""
    from edgetl_runtime.presentation import render_pointer

    pointer = run_install(given.bundle, given.into, trust=given.trust, where=where(given), notify=note)
    return Outcome(to_json(asdict(pointer)) if given.json else render_pointer(given.into, pointer))
