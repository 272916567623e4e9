"""`edgetl demo`."""

from pathlib import Path
from typing import Annotated

import typer

from edgetl.cli.flags import Debug, Json, finish, show


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for run, bundle and receipts.")] = Path("demo"),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fine-tune, export, validate and gate a detector of defects on 2,624 pictures of solar cells."""

    def command() -> int:
        from edgetl.cli.console import open_watcher
        from edgetl.demo import run_demo

        with open_watcher() as watcher:
            outcome = run_demo(out, watcher)
        show(outcome.facts() if as_json else outcome.text)
        return outcome.exit_code

    finish(command, debug)
