"""Flags that several commands share, and how every command ends."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from edgetl_runtime.cli import guarded, print_text

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def finish(command: Callable[[], int], debug: bool) -> None:
    """Run what a command does and exit with its code."""
    raise typer.Exit(guarded(command, debug=debug))


def show(result: Any) -> None:
    """Print text for people, or what JSON can hold."""
    print_text(result if isinstance(result, str) else json.dumps(result, indent=2, default=str))
