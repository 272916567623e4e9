"""`fleet`: receipts of many devices side by side; which device answers differently from the rest?"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import note, to_json
from edgetl_runtime.commands import run_fleet
from edgetl_runtime.percent import parse_points

SUMMARY = "Compare receipts of many devices: which one differs?"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    receipts = "receipts of the same pictures, one for each device; two need a third to say which is right"
    parser.add_argument("receipts", metavar="RECEIPT", type=Path, nargs="+", help=receipts)
    tolerance = "share of pictures on which a device may dissent more, or no majority be; default: 0.5%%"
    parser.add_argument("--tolerance", metavar="SHARE", default="0.5%", help=tolerance)
    alpha = "chance to accuse any device where all are alike; default: 0.05"
    parser.add_argument("--alpha", type=float, default=0.05, help=alpha)


def run(given: Namespace) -> Outcome:
    """Compare; a device that deviates fails."""
    from edgetl_runtime.presentation import render_fleet

    tolerance = parse_points(given.tolerance, "A tolerance")
    fleet = run_fleet(given.receipts, tolerance=tolerance, alpha=given.alpha)
    if fleet.warning:
        note(fleet.warning)
    text = to_json({"outcome": fleet.outcome, **asdict(fleet)}) if given.json else render_fleet(fleet)
    return Outcome(text, fleet.exit_code)
