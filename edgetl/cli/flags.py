"""Flags that several commands share, flags from a table, and how every command ends."""

import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetl_runtime.cli import guarded, print_text

Pictures = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Folder of class folders; CSV file: path,label[,split]; or WebDataset's tars: "
        "their folder, one, or 'train-{000..009}.tar'.",
    ),
]
MAX_UNREADABLE = 0.05
MaxUnreadable = Annotated[float, typer.Option(help="Share of pictures that may be unreadable.")]
MaxLatencyMs = Annotated[
    float | None, typer.Option(help="Of one picture on this machine, in OpenVINO without int8.")
]
MaxSizeMb = Annotated[float | None, typer.Option(help="Of the exported files as fp16.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def with_flags(
    command: Callable[..., None], flags: Sequence[inspect.Parameter], *, after: int
) -> Callable[..., None]:
    """Give a command that takes any keyword these flags, behind its first `after` parameters in the help."""
    own = inspect.signature(command)
    kept = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
    last = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in kept[after:]]
    signature = own.replace(parameters=[*kept[:after], *flags, *last])

    def run(*given: Any, **named: Any) -> None:
        command(*given, **named)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return run


def flag(key: str, kind: Any, name: str, told: str, **more: Any) -> inspect.Parameter:
    """Return a flag for `with_flags`; one that is not given is None."""
    annotation = Annotated[kind | None, typer.Option(name, help=told, **more)]
    return inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def by_commas(text: str) -> tuple[str, ...]:
    """Return the words between commas, without the empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def finish(command: Callable[[], int], debug: bool) -> None:
    """Run what a command does and exit with its code."""
    raise typer.Exit(guarded(command, debug=debug))


def show(result: Any) -> None:
    """Print text for people, or what JSON can hold."""
    print_text(result if isinstance(result, str) else json.dumps(result, indent=2, default=str))
