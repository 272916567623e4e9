"""`bench`: how fast a bundle's variants are on this machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from edgetl_runtime.cli.arguments import add_session, where
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import note, to_json
from edgetl_runtime.commands import run_bench

SUMMARY = "Time a bundle's variants on this machine, stage by stage."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_session(parser)
    picture = "picture file; default: a JPEG of 1920 x 1280 pixels made for it"
    parser.add_argument("picture", metavar="PICTURE", type=Path, nargs="?", help=picture)
    parser.add_argument("--rounds", metavar="N", type=int, default=50, help="runs of each; default: 50")


def run(given: Namespace) -> Outcome:
    """Time all that can be used; what cannot is told and does not stop the others."""
    from edgetl_runtime.presentation import render_bench

    found = run_bench(given.bundle, given.picture, where=where(given), rounds=given.rounds, notify=note)
    return Outcome(to_json([asdict(one) for one in found]) if given.json else render_bench(found))
