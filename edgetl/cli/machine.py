"""`edgetl doctor` and `edgetl backbones`: what this machine has."""

from dataclasses import asdict
from typing import Annotated

import typer

from edgetl.cli.flags import Debug, Json, finish, show


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Tell what this machine has, what is missing, and how to get it."""

    def command() -> int:
        from edgetl.doctor import examine, render_examination

        found = examine()
        show(asdict(found) if as_json else render_examination(found))
        return 0

    finish(command, debug)


def backbones(
    source: Annotated[str | None, typer.Option(help="lite, torchvision or timm; default: lite.")] = "lite",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the backbones of a source, their licences, and whose weights are installed."""

    def command() -> int:
        from edgetl.backbones import list_backbones
        from edgetl.cli.console import render_backbones
        from edgetl.cli.settings import check_source

        infos = list_backbones(check_source(source))
        show([asdict(info) for info in infos] if as_json else render_backbones(infos))
        return 0

    finish(command, debug)
