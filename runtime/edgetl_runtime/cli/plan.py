"""`plan`: how many pictures a margin needs, before anyone collects them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import to_json
from edgetl_runtime.commands import run_plan
from edgetl_runtime.percent import parse_points

SUMMARY = "Plan a test set: how many pictures does a margin need?"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    receipt = (
        "plan with its number of pictures, and with the flips of models as accurate that err independently"
    )
    parser.add_argument("receipt", metavar="RECEIPT", type=Path, nargs="?", help=receipt)
    parser.add_argument("--margin", default="0.5pp", help="drop of accuracy that is allowed; default: 0.5pp")
    discordance = (
        "share of pictures on which one model alone is right, such as 2%%; default: a table of shares"
    )
    parser.add_argument("--discordance", metavar="SHARE", help=discordance)
    parser.add_argument("--drop", default="0pp", help="true drop that is assumed; default: 0pp")
    parser.add_argument("--n", metavar="N", type=int, help="say what N pictures can certify")
    power = "chance that a candidate with this drop passes; default: 0.8"
    parser.add_argument("--power", type=float, default=0.8, help=power)
    alpha = "chance that one whose true drop is the margin passes; default: 0.05"
    parser.add_argument("--alpha", type=float, default=0.05, help=alpha)


def run(given: Namespace) -> Outcome:
    """Plan."""
    from edgetl_runtime.presentation import render_plan

    plan = run_plan(
        given.receipt,
        margin=parse_points(given.margin),
        discordance=None if given.discordance is None else parse_points(given.discordance, "A discordance"),
        drop=parse_points(given.drop, "A drop"),
        n=given.n,
        power=given.power,
        alpha=given.alpha,
    )
    return Outcome(to_json(asdict(plan)) if given.json else render_plan(plan))
