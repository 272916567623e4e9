"""`validate`: labelled pictures in, a receipt out."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.cli.arguments import add_session, where
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import note, show_progress
from edgetl_runtime.commands import run_validate
from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl_runtime.commands import Where
    from edgetl_runtime.validation import Measuring

SUMMARY = "Measure a bundle on labelled pictures and write a receipt."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_session(parser)
    parser.add_argument(
        "data", metavar="DATA", type=Path, help="folder of class folders, CSV file, or WebDataset's tars"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the receipt to this file")
    parser.add_argument(
        "--resume", action="store_true", help="go on where a killed run with this --out stopped"
    )
    parser.add_argument("--split", default="test", help="train, val, test or all; default: test")
    parser.add_argument("--limit", metavar="N", type=int, help="use N pictures at most")
    share = "share of the pictures that may be unusable; default: 0.05"
    parser.add_argument("--max-unreadable", metavar="SHARE", type=float, default=0.05, help=share)


def run(given: Namespace) -> Outcome:
    """Validate, and write the receipt where it is wanted."""
    return validated(given, where(given))


def validated(given: Namespace, place: Where, measuring: Measuring | None = None) -> Outcome:
    """Do so at this place; `measuring` is as `run_validate` takes it."""
    from edgetl_runtime.presentation import render_receipt

    if given.out is not None and given.out.is_dir():
        raise InputError(
            f"--out must name a file, got the folder {given.out}. Write {given.out}/receipt.json."
        )
    receipt = run_validate(
        given.bundle,
        given.data,
        where=place,
        split=given.split,
        limit=given.limit,
        max_unreadable=given.max_unreadable,
        out=given.out,
        resume=given.resume,
        measuring=measuring,
        progress=show_progress if sys.stderr.isatty() else None,
        notify=note,
    )
    return Outcome(receipt.to_json() if given.json else render_receipt(receipt))
