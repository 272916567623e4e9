"""The command line `edgetl-runtime`: reads arguments, prints results, and turns outcomes into exit codes.

What the commands do is in `commands`, how results look in `presentation`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgetl_runtime import __version__
from edgetl_runtime.commands import Answers, parse_points, run_check, run_info, run_predict, run_validate
from edgetl_runtime.errors import EdgetlError, InputError

__all__ = [
    "guarded",
    "harmless",
    "main",
    "parse_points",
    "print_text",
    "run_check",
    "run_info",
    "run_predict",
    "run_validate",
]

INTERNAL, INTERRUPTED = 70, 130
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
EXIT_CODES = (
    "Exit codes: 0 pass, 1 a gate or contract failed, 2 wrong usage or bad input, 3 inconclusive, "
    "70 an internal error, 130 interrupted."
)


def main(argv: Sequence[str] | None = None, prog: str = "edgetl-runtime") -> int:
    """Run a command and return its exit code; `prog` is what the help calls the program."""
    try:
        arguments = _parser(prog).parse_args(argv)
    except SystemExit as stop:  # argparse has printed the help, the version, or what is wrong
        return int(stop.code or 0)

    def command() -> int:
        outcome: _Outcome = arguments.command(arguments)
        print_text(outcome.text)
        return outcome.exit_code

    return guarded(command, debug=arguments.debug)


def guarded(command: Callable[[], int], *, debug: bool) -> int:
    """Run a command; turn what it raises into one line on stderr and an exit code."""
    try:
        return command()
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except EdgetlError as error:
        return _fail(str(error), error.exit_code, debug=debug)
    except OSError as error:  # a file that cannot be read or written
        return _fail(str(error), InputError.exit_code, debug=debug)
    except Exception as error:
        advice = "This is a fault of edgetl: run again with --debug and report it."
        return _fail(f"{type(error).__name__}: {error}. {advice}", INTERNAL, debug=debug)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a command prints, and the code that it exits with."""

    text: str
    exit_code: int = 0


def _predict(given: argparse.Namespace) -> _Outcome:
    from edgetl_runtime.presentation import render_answers

    found = run_predict(
        given.bundle, given.pictures, variant=given.variant, device=given.device, notify=_note
    )
    errors = [answer.error for answer in found.answers if answer.prediction is None]
    for error in errors:
        _say(f"error: {error}")
    text = _json(_as_json(found)) if given.json else render_answers(found.answers)
    return _Outcome(text, InputError.exit_code if errors else 0)


def _validate(given: argparse.Namespace) -> _Outcome:
    from edgetl_runtime.presentation import render_receipt

    if given.out is not None and given.out.is_dir():
        raise InputError(
            f"--out must name a file, got the folder {given.out}. Write {given.out}/receipt.json."
        )
    receipt = run_validate(
        given.bundle,
        given.data,
        variant=given.variant,
        device=given.device,
        split=given.split,
        limit=given.limit,
        max_unreadable=given.max_unreadable,
        progress=_show_progress if sys.stderr.isatty() else None,
        notify=_note,
    )
    if given.out is not None:
        receipt.write(given.out)
    return _Outcome(receipt.to_json() if given.json else render_receipt(receipt))


def _check(given: argparse.Namespace) -> _Outcome:
    from edgetl_runtime.presentation import render_verdict

    verdict = run_check(given.baseline, given.candidate, margin=parse_points(given.margin))
    let_through = verdict.outcome == "INCONCLUSIVE" and given.on_inconclusive == "warn"
    text = _json(asdict(verdict)) if given.json else render_verdict(verdict)
    return _Outcome(text, 0 if let_through else verdict.exit_code)


def _info(given: argparse.Namespace) -> _Outcome:
    from edgetl_runtime.presentation import render_info

    manifest = run_info(given.bundle)
    content = {"id": manifest.hash, "manifest": json.loads(manifest.to_json())}
    return _Outcome(_json(content) if given.json else render_info(manifest))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog, description="Run and prove edgetl bundles on this device.", epilog=EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, command: Callable[[argparse.Namespace], _Outcome], what: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what, epilog=EXIT_CODES)
        added.set_defaults(command=command)
        added.add_argument("--json", action="store_true", help="print one JSON object")
        # Without a default of its own it does not undo a --debug before the command.
        suppress = argparse.SUPPRESS
        added.add_argument(
            "--debug", action="store_true", default=suppress, help="show the traceback of an error"
        )
        return added

    _add_predict(add("predict", _predict, "Predict pictures."))
    _add_validate(add("validate", _validate, "Measure a bundle on labelled pictures; write a receipt."))
    _add_check(add("check", _check, "Compare two receipts: did the candidate lose accuracy?"))
    _add_bundle(add("info", _info, "Verify a bundle and say what it holds."))
    return parser


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder or zip that edgetl exported")


def _add_session(parser: argparse.ArgumentParser) -> None:
    _add_bundle(parser)
    parser.add_argument("--variant", default="auto", help="its name; default: the first whose engine is here")
    parser.add_argument(
        "--device", default="cpu", help="where the engine runs, such as cpu or npu; default: cpu"
    )


def _add_predict(parser: argparse.ArgumentParser) -> None:
    _add_session(parser)
    parser.add_argument("pictures", metavar="PICTURE", type=Path, nargs="+", help="picture file")


def _add_validate(parser: argparse.ArgumentParser) -> None:
    _add_session(parser)
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of class folders, or CSV file")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the receipt to this file")
    parser.add_argument("--split", default="test", help="train, val, test or all; default: test")
    parser.add_argument("--limit", metavar="N", type=int, help="use N pictures at most")
    share = "share of the pictures that may be unusable; default: 0.05"
    parser.add_argument("--max-unreadable", metavar="SHARE", type=float, default=0.05, help=share)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("baseline", metavar="BASELINE", type=Path, help="receipt of what is used now")
    parser.add_argument("candidate", metavar="CANDIDATE", type=Path, help="receipt of what shall replace it")
    parser.add_argument("--margin", default="0.5pp", help="drop of accuracy that is allowed; default: 0.5pp")
    result = "exit with 3, or warn and exit with 0; default: fail"
    parser.add_argument("--on-inconclusive", choices=("fail", "warn"), default="fail", help=result)


def _as_json(found: Answers) -> dict[str, object]:
    return {
        "variant": found.variant,
        "device": found.device,
        "classes": found.classes,
        "answers": [
            {"picture": str(answer.picture), "error": answer.error}
            if answer.prediction is None
            else {
                "picture": str(answer.picture),
                "label": answer.prediction.label,
                "labels": answer.prediction.labels,
                "confidence": answer.prediction.confidence,
                "probabilities": answer.prediction.probabilities.tolist(),
            }
            for answer in found.answers
        ],
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False)


def print_text(text: str) -> None:
    """Print the result; whoever stopped reading has what was wanted, and the exit code stays what it is."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(harmless(text).rstrip().encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        # The interpreter flushes once more as it ends; let it do so into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, exit_code: int, *, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    _say(message if exit_code == INTERRUPTED else f"error: {message}")
    return exit_code


def _note(note: str) -> None:
    _say(f"note: {note}")


def _say(line: str) -> None:
    print(harmless(line), file=sys.stderr)


def harmless(text: str) -> str:
    """Escape control characters: names come from files of others and must not drive the terminal."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done:,} of {total:,} pictures", end=end, file=sys.stderr, flush=True)
