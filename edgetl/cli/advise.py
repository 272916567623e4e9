"""`edgetl advise`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgetl.cli.flags import (
    MAX_UNREADABLE,
    Debug,
    Json,
    MaxLatencyMs,
    MaxSizeMb,
    MaxUnreadable,
    Pictures,
    Seed,
    finish,
    show,
)

Backbones = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        help="A candidate; may be given again. Default: the installed Lites, the best of them with :depths.",
    ),
]
Trials = Annotated[
    bool, typer.Option("--trials/--no-trials", help="Whether short trainings may be run to find out.")
]


def advise(
    data: Pictures,
    backbone: Backbones = None,
    max_latency_ms: MaxLatencyMs = None,
    max_size_mb: MaxSizeMb = None,
    size: Annotated[int | None, typer.Option(help="Side of the network's input, in pixels.")] = None,
    views: Annotated[
        str | None, typer.Option(help="Mirrored copies that mean the same: none, hflip, flips.")
    ] = None,
    time_budget: Annotated[float, typer.Option(help="Seconds for the training that is planned.")] = 600.0,
    trials: Trials = True,
    pictures: Annotated[int, typer.Option(help="Training pictures that are looked at, at most.")] = 2_000,
    out: Annotated[
        Path | None, typer.Option(help="Folder for advice.json and advise.html, with thumbnails.")
    ] = None,
    seed: Seed = 0,
    max_unreadable: MaxUnreadable = MAX_UNREADABLE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what decides transfer, before training: data, backbones, similarity, machine; then plan."""

    def command() -> int:
        from edgetl.advise.advisor import give_advice
        from edgetl.advise.card import render_card
        from edgetl.advise.page import render_page
        from edgetl.advise.request import Request
        from edgetl.cli.console import open_watcher
        from edgetl.cost import Limits
        from edgetl.dataset import load_dataset
        from edgetl_runtime.atomic import refuse_unwritable, write_text

        if out is not None:
            refuse_unwritable(out)
        limits = Limits(max_latency_ms, max_size_mb)
        given = {"size": size, "views": views}
        settings = {name: value for name, value in given.items() if value is not None}
        request = Request(tuple(backbone or ()), limits, time_budget, trials, pictures, seed, settings)
        with open_watcher() as watcher:
            watcher.phase("pictures")
            dataset = load_dataset(data, max_unreadable=max_unreadable, progress=watcher.progress)
            advice = give_advice(dataset, request, watcher)
        flags = request.flags()
        if max_unreadable != MAX_UNREADABLE:
            flags += (f"--max-unreadable {max_unreadable:g}",)
        if out is not None:
            text = json.dumps(advice.to_json(), indent=2)
            write_text(out / "advice.json", text + "\n")
            write_text(out / "advise.html", render_page(advice, flags))
        show(advice.to_json() if as_json else render_card(advice, flags))
        return 0

    finish(command, debug)
