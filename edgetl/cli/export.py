"""`edgetl export`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgetl.cli.flags import Debug, Json, by_commas, finish, show
from edgetl_runtime.errors import InputError
from edgetl_runtime.percent import parse_points

if TYPE_CHECKING:
    from edgetl_exporters.report import Report

Variants = Annotated[
    str | None,
    typer.Option(help="Those to write, such as openvino-int8,onnx-fp16; a wrong name lists all."),
]
MaxDrop = Annotated[
    str, typer.Option("--max-drop", help="Drop of accuracy that int8 may cost: 0.5pp is half a point.")
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
Calibration = Annotated[
    int | None, typer.Option(metavar="N", help="Training pictures that calibrate int8. Default: 100.")
]
DataLicence = Annotated[
    str | None, typer.Option("--data-licence", help="Of the pictures, for the bill of materials.")
]
Sign = Annotated[
    Path | None, typer.Option("--sign", metavar="KEY", help="Sign with this Ed25519 key, a PEM file.")
]
_ONNX = "An ONNX file"
# Flags that describe it, whereas a run knows its own.
_OF_ONNX = ("classes", "mean", "std", "layout", "size", "crop", "licence")


def export(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|MODEL.onnx", help="What `edgetl train` left, or a classifier."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The bundle: a folder, or a file that ends in .zip.")],
    data: Annotated[
        Path | None, typer.Option(help="The pictures, when they no longer lie where the run found them.")
    ] = None,
    variants: Variants = None,
    max_drop: MaxDrop = "0.5pp",
    on_miss: OnMiss = "fail",
    cpu: Cpu = "vnni",
    min_precision: MinPrecision = None,
    static_batch: StaticBatch = None,
    calibration: Calibration = None,
    data_licence: DataLicence = None,
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
    licence: Annotated[
        str | None, typer.Option(help=f"{_ONNX}: of its weights, for the bill of materials.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn a run or an ONNX file into a bundle: float and int8, each compared before it is written."""

    def command() -> int:
        from edgetl.cli.console import open_watcher, render_report

        options: dict[str, Any] = {
            "max_drop": parse_points(max_drop, "--max-drop"),
            "on_miss": on_miss,
            "cpu": cpu,
            "min_precision": min_precision,
            "static_batch": static_batch,
            "sign": sign,
        }
        if variants is not None:
            options["variants"] = by_commas(variants)
        if calibration is not None:
            options["calibration"] = calibration
        described = {"mean": mean, "std": std, "layout": layout, "preprocess": (size, crop)}
        licences = {"licence": licence, "data_licence": data_licence}
        with open_watcher() as watcher:
            options["watcher"] = watcher
            if source.suffix == ".onnx":
                report = _given(source, out, (data, classes), described | licences, options)
            else:
                _refuse_described(source, context)
                report = _run(source, out, data, data_licence, options)
        show(asdict(report) if as_json else render_report(report, out))
        return 0

    finish(command, debug)


def _refuse_described(source: Path, context: typer.Context) -> None:
    """Refuse flags that describe an ONNX file, whatever their value."""
    origins = {name: context.get_parameter_source(name) for name in _OF_ONNX}
    flags = ", ".join(f"--{name}" for name, one in origins.items() if one and one.name != "DEFAULT")
    if flags:
        raise InputError(
            f"Only an ONNX file takes {flags}; the run {str(source)!r} knows its own. Leave them out."
        )


def _run(
    source: Path, out: Path, data: Path | None, data_licence: str | None, options: dict[str, Any]
) -> "Report":
    from edgetl.pipeline import export_run

    return export_run(source, out, data=data, data_licence=data_licence, **options)


def _given(
    source: Path,
    out: Path,
    measured_on: tuple[Path | None, Path | None],
    described: dict[str, Any],
    options: dict[str, Any],
) -> "Report":
    from edgetl.given import Given, export_given, read_classes
    from edgetl_runtime.preprocess import Preprocess

    data, classes = measured_on
    if data is None or classes is None:
        raise InputError(
            f"{str(source)!r} needs --data, pictures of its classes, and --classes, their names: nothing is "
            "exported that was not measured."
        )
    known = {name: value for name, value in described.items() if value is not None}
    known["preprocess"] = Preprocess(*described["preprocess"])
    return export_given(Given(source, read_classes(classes), **known), data, out, **options)
