"""`edgetl doctor` and `edgetl backbones`: what this machine has."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgetl.cli.flags import Debug, Json, finish, show

Fallback = Annotated[str | None, typer.Option(metavar="DEVICE", help="Used where --device cannot be.")]


def doctor(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="BUNDLE", help="Tells which of its variants would run where, and why."),
    ] = None,
    variant: Annotated[str, typer.Option(help="Of the bundle.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, gpu, npu, ...; auto: whatever is fastest here.")] = "auto",
    fallback: Fallback = None,
    threads: Annotated[int | None, typer.Option(help="Of the engine; default: its own choice.")] = None,
    hint: Annotated[
        Literal["latency", "throughput"], typer.Option(help="One picture soon, or many a second.")
    ] = "latency",
    trust: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Public key that must have signed the bundle.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what this machine has, what is missing, and how to get it."""

    def command() -> int:
        from edgetl.doctor import examine
        from edgetl_runtime.commands import Where
        from edgetl_runtime.diagnosis import render_examination

        keys = None if trust is None else tuple(trust)
        found = examine(bundle, Where(variant, device, fallback, threads, hint, keys))
        show(found.to_json() if as_json else render_examination(found))
        return found.exit_code

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
