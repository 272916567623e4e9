"""The table of commands. Imports nothing heavy: what a command does is loaded when it runs."""

import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from edgetl.cli import validate
from edgetl.cli.advise import advise
from edgetl.cli.cache import cache
from edgetl.cli.demo import demo
from edgetl.cli.export import export
from edgetl.cli.machine import backbones, doctor
from edgetl.cli.report import report
from edgetl.cli.search import search
from edgetl.cli.train import train
from edgetl_runtime import __version__
from edgetl_runtime.cli import COMMANDS, EXIT_CODES, Command, harmless
from edgetl_runtime.cli import main as runtime_main
from edgetl_runtime.errors import InputError

app = typer.Typer(
    name="edgetl",
    help="From a folder of pictures to a small, fast model that is proven on the device it runs on.",
    epilog=EXIT_CODES,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
# The runtime's commands: everything behind their name goes there as it is. A cluster can validate as well.
_RUNTIME: dict[str, Command] = COMMANDS | {"validate": validate}
_FORWARDED = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        return int(app(argv, prog_name="edgetl", standalone_mode=False) or 0)
    except TyperException as error:  # wrong usage
        context: typer.Context | None = getattr(error, "ctx", None)
        program = context.command_path if context else "edgetl"
        message = harmless(error.format_message()).rstrip(".")
        print(f"error: {message}. See: {program} --help", file=sys.stderr)
        return InputError.exit_code


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"edgetl {__version__}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(InputError.exit_code)


def _forward(name: str, summary: str) -> None:
    @app.command(name, help=summary, context_settings=_FORWARDED)
    def command(context: typer.Context) -> None:
        raise typer.Exit(runtime_main([name, *context.args], prog="edgetl", commands=_RUNTIME))


app.command(short_help="Measure what decides transfer, and plan the training.", epilog=EXIT_CODES)(advise)
app.command(short_help="Fine-tune a backbone on your pictures.", epilog=EXIT_CODES)(train)
app.command(short_help="Search backbone, size, recipe and precision together.", epilog=EXIT_CODES)(search)
app.command(short_help="Turn a run into a bundle of proven variants.", epilog=EXIT_CODES)(export)
app.command(short_help="Show runs, bundles and receipts in one HTML file.", epilog=EXIT_CODES)(report)
app.command(short_help="Do the whole job on pictures of solar cells.", epilog=EXIT_CODES)(demo)
app.command(epilog=EXIT_CODES)(doctor)
app.command(short_help="Show or clear the cache of features.", epilog=EXIT_CODES)(cache)
app.command(short_help="List the backbones of a source.", epilog=EXIT_CODES)(backbones)
for _name, _command in _RUNTIME.items():
    if _name != "doctor":  # A workstation's looks at more.
        _forward(_name, _command.SUMMARY)
