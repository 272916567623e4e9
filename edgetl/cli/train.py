"""`edgetl train`."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetl.cli.flags import MAX_UNREADABLE, Debug, Json, MaxUnreadable, Pictures, finish, show
from edgetl.cli.ray_flags import WORKERS_HELP, find_workers
from edgetl.cli.recipe_flags import with_recipe_flags
from edgetl.ranks import started, together
from edgetl_runtime.cli import guarded
from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl.recipe import Recipe

_REMEDY = "Finished features are kept: once the cluster runs, the same command goes on."

Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Have features computed on the Ray cluster at HOST:PORT; local makes one here.",
    ),
]
RayWorkers = Annotated[int | None, typer.Option(min=1, help=WORKERS_HELP)]


@with_recipe_flags
def train(
    data: Pictures,
    out: Annotated[Path, typer.Option("--out", help="The run's folder, to be made.")],
    recipe: Annotated[Path | None, typer.Option(help="TOML file with settings; flags override it.")] = None,
    max_unreadable: MaxUnreadable = MAX_UNREADABLE,
    ray: Ray = None,
    ray_workers: RayWorkers = None,
    as_json: Json = False,
    debug: Debug = False,
    **settings: Any,
) -> None:
    """Fine-tune a backbone on your pictures: first the head, then more as long as it helps."""

    def alone() -> int:
        from edgetl_runtime.listing import list_dataset

        list_dataset(data)  # Refuses what is no data set before torch is loaded, which takes seconds.
        from edgetl.cli.console import open_watcher, render_run
        from edgetl.cli.settings import named_settings, resolve_recipe
        from edgetl.cluster.workers import helped_by
        from edgetl.finetuning import finetune_as

        resolved = resolve_recipe(recipe, settings)
        named = named_settings(recipe, settings)
        _refuse_idle_candidates(settings, resolved)
        _refuse_ranks(ray)
        with open_watcher() as watcher, helped_by(find_workers((ray, ray_workers), _REMEDY, watcher.note)):
            run = finetune_as(resolved, named, data, out, watcher=watcher, max_unreadable=max_unreadable)
        show(asdict(run) | {"preprocess": run.preprocess.to_steps()} if as_json else render_run(run, out))
        return 130 if run.interrupted else 0

    def command() -> int:
        return together(lambda: guarded(alone, debug=debug))

    finish(command, debug)


def _refuse_idle_candidates(flags: Mapping[str, Any], recipe: "Recipe") -> None:
    """Refuse candidates that nothing would try; those in the recipe of an advised run are a record."""
    asked = recipe.backbone == "auto" or recipe.target_accuracy is not None
    if flags["candidates"] is not None and not asked:
        raise InputError(
            "--candidates are other backbones, and nothing would try them. Give --backbone auto, which "
            "chooses from them, or --target-accuracy, for which they follow until it is reached."
        )


def _refuse_ranks(ray: str | None) -> None:
    if ray is not None and started():
        raise InputError("--ray and torchrun both share out the features. Leave out --ray, or torchrun.")
