"""`check`: two receipts in, a verdict out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import annotate, note, to_json
from edgetl_runtime.commands import parse_points, run_check
from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl_runtime.commands import Checked
    from edgetl_runtime.rules import Limits

SUMMARY = "Compare two receipts: did the candidate lose accuracy?"

_SHARES = {
    "--max-negative-flips": "share of pictures that may be right before and wrong after, such as 1%%",
    "--class-margin": "drop that any class may have, such as 5pp; with --per-class, default: 5pp",
    "--max-calibration-drift": "how much the calibration error may rise, such as 2pp",
}
_RATIOS = {
    "--max-latency-ratio": "of the median time, each divided by the reference workload's, such as 1.2",
    "--max-size-ratio": "of the size of the files",
    "--max-memory-ratio": "of the peak memory",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("baseline", metavar="BASELINE", type=Path, help="receipt of what is used now")
    parser.add_argument("candidate", metavar="CANDIDATE", type=Path, help="receipt of what shall replace it")
    parser.add_argument(
        "--margin", default="0.5pp", help="drop of the metric that is allowed; default: 0.5pp"
    )
    parser.add_argument(
        "--metric",
        choices=("accuracy", "balanced_accuracy", "macro_f1"),
        default="accuracy",
        help="what decides",
    )
    alpha = "chance to pass a candidate whose true drop is the margin; default: 0.05"
    parser.add_argument("--alpha", type=float, default=0.05, help=alpha)
    result = "exit with 3, or warn and exit with 0; default: fail"
    parser.add_argument("--on-inconclusive", choices=("fail", "warn"), default="fail", help=result)
    across = "compare receipts of different processors"
    parser.add_argument("--across-machines", action="store_true", help=across)
    _add_limits(parser)
    _add_outputs(parser)


def run(given: Namespace) -> Outcome:
    """Compare; the verdict decides the exit code."""
    from edgetl_runtime.ledger import named_ledger

    if given.json and given.markdown == "-":
        raise InputError("--json and --markdown - both want stdout. Give --markdown a file.")
    checked = run_check(
        given.baseline,
        given.candidate,
        margin=parse_points(given.margin),
        alpha=given.alpha,
        limits=_limits(given),
        ledger=named_ledger(given.ledger),
    )
    let_through = checked.verdict.outcome == "INCONCLUSIVE" and given.on_inconclusive == "warn"
    if checked.wear is not None and checked.wear.worn:
        note(checked.wear.describe())
    text = _outputs(given, checked, let_through=given.on_inconclusive == "warn")
    return Outcome(text, 0 if let_through else checked.verdict.exit_code)


def _add_limits(parser: ArgumentParser) -> None:
    limits = parser.add_argument_group("more limits; the verdict is the worst of all")
    limits.add_argument("--per-class", action="store_true", help="fail on a class's drop that is no chance")
    for flag, meaning in _SHARES.items():
        limits.add_argument(flag, metavar="SHARE", help=meaning)
    for flag, meaning in _RATIOS.items():
        limits.add_argument(flag, metavar="RATIO", type=float, help=f"limit of the ratio {meaning}")


def _add_outputs(parser: ArgumentParser) -> None:
    outputs = parser.add_argument_group("where CI is")
    outputs.add_argument("--markdown", metavar="FILE", help="write a summary to this file; - is stdout")
    outputs.add_argument("--junit", metavar="FILE", type=Path, help="write JUnit XML to this file")
    lines = "print a line to stderr for each rule that did not pass"
    outputs.add_argument("--annotations", choices=("github", "gitlab", "plain"), help=lines)
    ledger = "append the decision to this file, and warn when the test set wears out; default: $EDGETL_LEDGER"
    outputs.add_argument("--ledger", metavar="FILE", type=Path, help=ledger)


def _limits(given: Namespace) -> Limits:
    from edgetl_runtime.rules import Limits

    def share(text: str | None) -> float | None:
        return None if text is None else parse_points(text, "A share")

    class_margin = given.class_margin or ("5pp" if given.per_class else None)
    return Limits(
        metric=given.metric,
        negative_flips=share(given.max_negative_flips),
        class_margin=share(class_margin),
        calibration=share(given.max_calibration_drift),
        latency_ratio=given.max_latency_ratio,
        size_ratio=given.max_size_ratio,
        memory_ratio=given.max_memory_ratio,
        across_machines=given.across_machines,
    )


def _outputs(given: Namespace, checked: Checked, *, let_through: bool) -> str:
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
        return to_json(asdict(verdict) | {"wear": None if wear is None else asdict(wear)})
    return markdown if given.markdown == "-" else render_verdict(verdict)
