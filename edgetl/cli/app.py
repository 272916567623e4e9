"""The commands and their flags. Imports nothing heavy: what a command does is loaded when it runs."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.exceptions import TyperException

from edgetl_runtime import __version__
from edgetl_runtime.cli import EXIT_CODES, guarded, harmless, print_text
from edgetl_runtime.cli import main as runtime_main
from edgetl_runtime.commands import parse_points
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

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
MaxDrop = Annotated[
    str, typer.Option("--max-drop", help="Drop of accuracy that int8 may cost: 1pp is one point.")
]
OnMiss = Annotated[
    Literal["fail", "fp16"],
    typer.Option("--on-miss", help="When int8 misses its limit: fail, or go on with fp16."),
]
# These commands are the runtime's: everything behind their name goes there as it is.
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


@app.command("train", short_help="Fine-tune a backbone on your pictures.", epilog=EXIT_CODES)
def _train(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder of class folders, or CSV file: path,label[,split].")
    ],
    out: Annotated[Path, typer.Option("--out", help="The run's folder, to be made.")],
    backbone: Annotated[
        str | None, typer.Option(help="Its name, see `edgetl backbones`, or a run to go on from.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="default, none, or a file of weights.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the network's input, in pixels.")] = None,
    crop: Annotated[
        float | None, typer.Option(help="Share of the picture's shorter side that is kept, 0.1 to 1.")
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="Mirrored copies that mean the same: none, hflip, flips.")
    ] = None,
    unfreeze: Annotated[
        str | None, typer.Option(help="Stages that each step trains, such as 2,3,9; 0 keeps the head alone.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the last stage and the head.")] = None,
    class_weights: Annotated[str | None, typer.Option(help="auto, balanced or none.")] = None,
    time_budget: Annotated[float | None, typer.Option(help="Seconds for the whole training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file with settings; flags override it.")] = None,
    max_unreadable: Annotated[float, typer.Option(help="Share of pictures that may be unreadable.")] = 0.05,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a backbone on your pictures: first the head, then more as long as it helps."""
    flags = {
        "backbone": backbone,
        "weights": weights,
        "size": size,
        "crop": crop,
        "views": views,
        "unfreeze": unfreeze,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
        "class_weights": class_weights,
        "time_budget_s": time_budget,
    }

    def command() -> int:
        from edgetl.cli.console import open_watcher, render_run
        from edgetl.cli.settings import resolve_recipe
        from edgetl.dataset import load_dataset
        from edgetl.training import refuse_place, train

        settings = resolve_recipe(recipe, flags)
        refuse_place(out)
        with open_watcher() as watcher:
            watcher.phase("pictures")
            dataset = load_dataset(data, max_unreadable=max_unreadable, progress=watcher.progress)
            for line in dataset.notes():
                watcher.note(line)
            run = train(dataset, settings, out, watcher, source=data)
        _print(asdict(run) | {"preprocess": run.preprocess.to_steps()} if as_json else render_run(run, out))
        return 130 if run.interrupted else 0

    _run(command, debug)


@app.command("export", short_help="Turn a run into a bundle of proven variants.", epilog=EXIT_CODES)
def _export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `edgetl train` left.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle: a folder, or a file that ends in .zip.")],
    data: Annotated[
        Path | None, typer.Option(help="The pictures, when they no longer lie where the run found them.")
    ] = None,
    max_drop: MaxDrop = "1pp",
    on_miss: OnMiss = "fail",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn a run into a bundle: ONNX and OpenVINO, float and int8, each compared before it is written."""

    def command() -> int:
        from edgetl.cli.console import open_watcher, render_report
        from edgetl.pipeline import export_run

        with open_watcher() as watcher:
            report = export_run(
                run, out, data=data, max_drop=parse_points(max_drop), on_miss=on_miss, watcher=watcher
            )
        _print(asdict(report) if as_json else render_report(report, out))
        return 0

    _run(command, debug)


@app.command("demo", short_help="Do the whole job on pictures of solar cells.", epilog=EXIT_CODES)
def _demo(
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
        _print(outcome.facts() if as_json else outcome.text)
        return outcome.exit_code

    _run(command, debug)


@app.command("doctor", epilog=EXIT_CODES)
def _doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Tell what this machine has, what is missing, and how to get it."""

    def command() -> int:
        from edgetl.doctor import examine, render_examination

        found = examine()
        _print(asdict(found) if as_json else render_examination(found))
        return 0

    _run(command, debug)


@app.command("backbones", short_help="List the backbones of a source.", epilog=EXIT_CODES)
def _backbones(
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
        _print([asdict(info) for info in infos] if as_json else render_backbones(infos))
        return 0

    _run(command, debug)


def _forward(name: str, summary: str) -> None:
    @app.command(name, help=summary, context_settings=_FORWARDED)
    def command(context: typer.Context) -> None:
        raise typer.Exit(runtime_main([name, *context.args], prog="edgetl"))


_forward("predict", "Predict pictures with a bundle.")
_forward("validate", "Measure a bundle on labelled pictures and write a receipt.")
_forward("check", "Compare two receipts: did the candidate lose accuracy?")
_forward("info", "Verify a bundle and say what it holds.")


def _run(command: Callable[[], int], debug: bool) -> None:
    raise typer.Exit(guarded(command, debug=debug))


def _print(result: Any) -> None:  # text for people, or what JSON can hold
    print_text(result if isinstance(result, str) else json.dumps(result, indent=2, default=str))
