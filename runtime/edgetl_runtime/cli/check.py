"""`check`: two receipts in, a verdict out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.asking import FLAGS, asked_by_flags
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import annotate, note, to_json
from edgetl_runtime.commands import run_check
from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl_runtime.asking import Question
    from edgetl_runtime.commands import Checked

SUMMARY = "Compare two receipts: did the candidate lose accuracy?"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("baseline", metavar="BASELINE", type=Path, help="receipt of what is used now")
    parser.add_argument("candidate", metavar="CANDIDATE", type=Path, help="receipt of what shall replace it")
    result = "exit with 3, or warn and exit with 0; default: fail"
    parser.add_argument("--on-inconclusive", choices=("fail", "warn"), default="fail", help=result)
    _add_question(parser)
    _add_outputs(parser)


def run(given: Namespace) -> Outcome:
    """Compare; the verdict decides the exit code."""
    from edgetl_runtime.ledger import named_ledger

    if given.json and given.markdown == "-":
        raise InputError("--json and --markdown - both want stdout. Give --markdown a file.")
    asked = asked_by_flags(vars(given))
    checked = run_check(
        given.baseline,
        given.candidate,
        margin=asked.margin,
        alpha=asked.alpha,
        limits=asked.limits,
        ledger=named_ledger(given.ledger),
    )
    let_through = checked.verdict.outcome == "INCONCLUSIVE" and given.on_inconclusive == "warn"
    if checked.wear is not None and checked.wear.worn:
        note(checked.wear.describe())
    text = _outputs(given, checked, asked, let_through=given.on_inconclusive == "warn")
    return Outcome(text, 0 if let_through else checked.verdict.exit_code)


def _add_question(parser: ArgumentParser) -> None:
    limits = parser.add_argument_group("more limits; the verdict is the worst of all")
    for flag in FLAGS:
        where = limits if flag.further else parser
        told = flag.told.replace("%", "%%")
        if flag.kind == "truth":
            where.add_argument(f"--{flag.name}", action="store_true", help=told)
        else:
            kind, choices = float if flag.kind == "number" else str, flag.choices or None
            value = None if choices else flag.value
            where.add_argument(f"--{flag.name}", metavar=value, type=kind, choices=choices, help=told)


def _add_outputs(parser: ArgumentParser) -> None:
    outputs = parser.add_argument_group("where CI is")
    outputs.add_argument("--markdown", metavar="FILE", help="write a summary to this file; - is stdout")
    outputs.add_argument("--junit", metavar="FILE", type=Path, help="write JUnit XML to this file")
    lines = "print a line to stderr for each rule that did not pass"
    outputs.add_argument("--annotations", choices=("github", "gitlab", "plain"), help=lines)
    ledger = "append the decision to this file, and warn when the test set wears out; default: $EDGETL_LEDGER"
    outputs.add_argument("--ledger", metavar="FILE", type=Path, help=ledger)


def _outputs(given: Namespace, checked: Checked, asked: Question, *, let_through: bool) -> str:
    """Write what was asked for beside stdout, and return what goes there."""
    from edgetl_runtime.atomic import write_text
    from edgetl_runtime.ci import render_annotations, render_junit, render_markdown
    from edgetl_runtime.presentation import render_verdict

    verdict, wear = checked.verdict, checked.wear
    markdown = render_markdown(verdict, [wear.describe()] if wear is not None and wear.worn else [])
    if given.markdown not in (None, "-"):
        write_text(Path(given.markdown), markdown)
    if given.junit is not None:
        write_text(given.junit, render_junit(verdict, let_through=let_through))
    if given.annotations is not None:
        annotate(render_annotations(verdict, given.annotations, let_through=let_through))
    if given.json:
        worn = None if wear is None else asdict(wear)
        return to_json(asdict(verdict) | {"asked": asked.to_json(), "wear": worn})
    return markdown if given.markdown == "-" else render_verdict(verdict)
