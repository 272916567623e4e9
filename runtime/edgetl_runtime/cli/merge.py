"""`merge`: receipts of different pictures in, one receipt of all out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.commands import run_merge

SUMMARY = "Add up receipts of different pictures, such as of shards."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    receipts = "receipts of one bundle, variant and device on machines of one kind; no picture in two of them"
    parser.add_argument("receipts", metavar="RECEIPT", type=Path, nargs="+", help=receipts)
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the receipt of all to this file")


def run(given: Namespace) -> Outcome:
    """Add up, and write the receipt where it is wanted."""
    from edgetl_runtime.presentation import render_receipt

    receipt = run_merge(given.receipts, out=given.out)
    return Outcome(receipt.to_json() if given.json else render_receipt(receipt))
