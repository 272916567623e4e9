"""The table of commands, and from arguments to an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Protocol

from edgetl_runtime import __version__
from edgetl_runtime.cli import (
    bench,
    check,
    doctor,
    fleet,
    info,
    install,
    ledger,
    merge,
    plan,
    predict,
    rollback,
    validate,
)
from edgetl_runtime.cli.guard import EXIT_CODES, Outcome, guarded
from edgetl_runtime.cli.printing import print_text


class Command(Protocol):
    """What the file of a command holds. It imports nothing heavy before `run`."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what the command takes besides --json and --debug."""

    def run(self, given: argparse.Namespace) -> Outcome:
        """Do it; what goes wrong is raised."""


COMMANDS: dict[str, Command] = {
    "predict": predict,
    "validate": validate,
    "merge": merge,
    "check": check,
    "plan": plan,
    "fleet": fleet,
    "ledger": ledger,
    "bench": bench,
    "info": info,
    "doctor": doctor,
    "install": install,
    "rollback": rollback,
}


def main(
    argv: Sequence[str] | None = None,
    prog: str = "edgetl-runtime",
    commands: Mapping[str, Command] = COMMANDS,
) -> int:
    """Run a command and return its exit code; `prog` is what the help calls the program."""
    try:
        arguments = _parser(prog, commands).parse_args(argv)
    except SystemExit as stop:  # argparse has printed the help, the version, or what is wrong
        return int(stop.code or 0)

    def command() -> int:
        outcome: Outcome = arguments.run(arguments)
        print_text(outcome.text)
        return outcome.exit_code

    return guarded(command, debug=arguments.debug)


def _parser(prog: str, offered: Mapping[str, Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog, description="Run and prove edgetl bundles on this device.", epilog=EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in offered.items():
        _add(commands.add_parser(name, help=command.SUMMARY, description=command.SUMMARY), command)
    return parser


def _add(parser: argparse.ArgumentParser, command: Command) -> None:
    parser.epilog = EXIT_CODES
    parser.set_defaults(run=command.run)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    # Without a default of its own it does not undo a --debug before the command.
    suppress = argparse.SUPPRESS
    parser.add_argument(
        "--debug", action="store_true", default=suppress, help="show the traceback of an error"
    )
    command.add_arguments(parser)
