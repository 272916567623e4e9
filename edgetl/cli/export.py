"""`edgetl export`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgetl.cli.flags import Debug, Json, finish, show
from edgetl_runtime.commands import parse_points
from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl_exporters.report import Report

Variants = Annotated[
    str | None,
    typer.Option(help="Those to write, such as openvino-int8,onnx-fp16; a wrong name lists all."),
]
MaxDrop = Annotated[
    str, typer.Option("--max-drop", help="Drop of accuracy that int8 may cost: 1pp is one point.")
]
OnMiss = Annotated[
    Literal["fail", "fp16"],
    typer.Option("--on-miss", help="When int8 misses its limit: fail, or go on with fp16."),
]
Cpu = Annotated[
    Literal["any", "vnni", "arm"],
    typer.Option(help="What int8 will run on: any x86 has 7-bit weights, since some saturate with 8."),
]
MinPrecision = Annotated[
    float | None,
    typer.Option("--min-precision", help="Reject below the confidence from which so many are right."),
]
StaticBatch = Annotated[
    int | None, typer.Option("--static-batch", help="Write files for exactly so many pictures, for NPUs.")
]
Sign = Annotated[
    Path | None, typer.Option("--sign", metavar="KEY", help="Sign with this Ed25519 key, a PEM file.")
]
_ONNX = "An ONNX file"


def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|MODEL.onnx", help="What `edgetl train` left, or a classifier."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The bundle: a folder, or a file that ends in .zip.")],
    data: Annotated[
        Path | None, typer.Option(help="The pictures, when they no longer lie where the run found them.")
    ] = None,
    variants: Variants = None,
    max_drop: MaxDrop = "1pp",
    on_miss: OnMiss = "fail",
    cpu: Cpu = "vnni",
    min_precision: MinPrecision = None,
    static_batch: StaticBatch = None,
    sign: Sign = None,
    classes: Annotated[
        Path | None, typer.Option(help=f"{_ONNX}: its classes, one a line, in the order of its scores.")
    ] = None,
    mean: Annotated[
        tuple[float, float, float], typer.Option(help=f"{_ONNX}: mean of red, green and blue, 0 to 1.")
    ] = (0.485, 0.456, 0.406),
    std: Annotated[tuple[float, float, float], typer.Option(help=f"{_ONNX}: their standard deviations.")] = (
        0.229,
        0.224,
        0.225,
    ),
    layout: Annotated[Literal["nchw", "nhwc"], typer.Option(help=f"{_ONNX}: order of its axes.")] = "nchw",
    size: Annotated[int, typer.Option(help=f"{_ONNX}: side of its pictures in pixels.")] = 224,
    crop: Annotated[float, typer.Option(help=f"{_ONNX}: share of the shorter side that is kept.")] = 0.875,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn a run or an ONNX file into a bundle: float and int8, each compared before it is written."""

    def command() -> int:
        from edgetl.cli.console import open_watcher, render_report

        options: dict[str, Any] = {
            "max_drop": parse_points(max_drop),
            "on_miss": on_miss,
            "cpu": cpu,
            "min_precision": min_precision,
            "static_batch": static_batch,
            "sign": sign,
        }
        if variants is not None:
            options["variants"] = [name.strip() for name in variants.split(",") if name.strip()]
        with open_watcher() as watcher:
            options["watcher"] = watcher
            if source.suffix == ".onnx":
                report = _given(source, out, data, classes, (mean, std, layout, size, crop), options)
            else:
                report = _run(source, out, data, classes, options)
        show(asdict(report) if as_json else render_report(report, out))
        return 0

    finish(command, debug)


def _run(
    source: Path, out: Path, data: Path | None, classes: Path | None, options: dict[str, Any]
) -> "Report":
    from edgetl.pipeline import export_run

    if classes is not None:
        raise InputError(f"--classes is for ONNX files; the run {str(source)!r} knows its classes.")
    return export_run(source, out, data=data, **options)


def _given(
    source: Path,
    out: Path,
    data: Path | None,
    classes: Path | None,
    described: tuple[Any, ...],
    options: dict[str, Any],
) -> "Report":
    from edgetl.given import Given, export_given, read_classes
    from edgetl_runtime.preprocess import Preprocess

    if data is None or classes is None:
        raise InputError(
            f"{str(source)!r} needs --data, pictures of its classes, and --classes, their names: nothing is "
            "exported that was not measured."
        )
    mean, std, layout, size, crop = described
    given = Given(source, read_classes(classes), Preprocess(size, crop), mean, std, layout)
    return export_given(given, data, out, **options)
