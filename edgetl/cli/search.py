"""`edgetl search`."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

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
    by_commas,
    finish,
    show,
)
from edgetl.cli.ray_flags import WORKERS_HELP, check_ray, require
from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl.search.asked import Asked
    from edgetl.search.findings import Findings, Row
    from edgetl.search.searching import Place
    from edgetl_exporters.model import OnMiss

Trials = Annotated[int, typer.Option(help="Trials of the study in all, whoever does them.")]
Candidates = Annotated[str | None, typer.Option(help="Backbones, by commas. Default: all installed Lites.")]
Sizes = Annotated[
    str, typer.Option(help="Sides of the network's input, by commas; native is the backbone's own.")
]
Recipes = Annotated[
    str,
    typer.Option(
        help="By commas: staged tunes step by step, full all at once, augmented has changed copies."
    ),
]
Precisions = Annotated[str, typer.Option(help="float, and int8 for the models on the front, at the end.")]
Storage = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Database that processes share. Default: SQLite in the study's folder."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Have trials done on the Ray cluster at HOST:PORT; local makes one here."
    ),
]
RayWorkers = Annotated[
    int | None,
    typer.Option(min=1, help=WORKERS_HELP),
]


def search(
    data: Pictures,
    out: Annotated[
        Path, typer.Option("--out", metavar="STUDY", help="The study's folder; one there goes on.")
    ],
    trials: Trials = 20,
    time_budget: Annotated[float, typer.Option(help="Seconds after which no trial is begun.")] = 3600.0,
    candidates: Candidates = None,
    sizes: Sizes = "128,160,native",
    recipes: Recipes = "staged,full,augmented",
    precisions: Precisions = "float,int8",
    max_latency_ms: MaxLatencyMs = None,
    max_size_mb: MaxSizeMb = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file with settings of all trials.")] = None,
    storage: Storage = None,
    ray: Ray = None,
    ray_workers: RayWorkers = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="BUNDLE", help="Export the most accurate model at the end."),
    ] = None,
    seed: Seed = 0,
    max_unreadable: MaxUnreadable = MAX_UNREADABLE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Search backbone, size, recipe and precision: what is most accurate within ms, MB and your time?"""

    def command() -> int:
        from edgetl_runtime.listing import list_dataset

        list_dataset(data)  # Refuses what is no data set before torch is loaded, which takes seconds.
        from edgetl.cost import Limits

        require("optuna", "A search needs Optuna", "search")
        asked = _asked(
            {"backbones": candidates, "sizes": sizes, "recipes": recipes, "precisions": precisions},
            recipe,
            limits=Limits(max_latency_ms, max_size_mb),
            trials=trials,
            time_budget_s=time_budget,
            seed=seed,
            storage=storage,
        )
        place = _place(ray, ray_workers)
        return _run((data, max_unreadable), (out, export), asked, place, as_json)

    finish(command, debug)


def _run(
    pictures: tuple[Path, float],
    folders: tuple[Path, Path | None],
    asked: "Asked",
    place: "Place",
    as_json: bool,
) -> int:
    from edgetl.cli.console import open_watcher
    from edgetl.dataset import load_dataset
    from edgetl.search.searching import search as search_study
    from edgetl_runtime.atomic import refuse_place

    (data, max_unreadable), (out, bundle) = pictures, folders
    if bundle is not None:
        refuse_place(bundle)
    with open_watcher() as watcher:
        watcher.phase("pictures")
        dataset = load_dataset(data, max_unreadable=max_unreadable, progress=watcher.progress)
        findings = search_study(dataset, asked, out, watcher, source=data, place=place)
    show(findings.to_json() if as_json else render_findings(findings, out))
    if findings.interrupted:
        return 130
    return 0 if bundle is None else _export(findings, bundle)


def _export(findings: "Findings", bundle: Path) -> int:
    """Export the most accurate model; 3 where others are still at work on what may be better."""
    from edgetl.cli.console import open_watcher
    from edgetl.pipeline import export_run

    running = [one.number for one in findings.trials if one.state == "running"]
    best = findings.best
    with open_watcher() as watcher:
        if running or best is None or best.run is None:
            why = f"trials {running} are at work" if running else "the models of the front lie elsewhere"
            watcher.note(f"Nothing is exported: {why}. When they are done, give the same command there.")
            return 3
        export_run(best.run, bundle, on_miss=_on_miss(best), watcher=watcher)
        watcher.note(f"Exported: trial {best.trial} to {bundle}")
    return 0


def render_findings(findings: "Findings", out: Path) -> str:
    """Return the front as a table, what its trials are, and what to type next."""
    from edgetl.tables import table

    rows = [row for row in findings.rows if row.on_front]
    header = ("trial", "precision", "accuracy", "verified", "95 % interval", "p50 ms", "MB")
    n = rows[0].chosen["n"] if rows else 0
    verified = rows[0].verified["n"] if rows else 0
    done = sum(one.state == "complete" for one in findings.trials)
    lines = [
        f"{len(findings.rows)} models of {done} trials; {findings.note}.",
        f"The front: no other model is as good in everything. accuracy: on the {n:,} choosing pictures,",
        f"where all choices were made; verified: on {verified:,} others, with its interval.",
        table(header, [_cells(row) for row in rows]),
        *_trials(rows),
        *(f"No int8 of trial {number}: {reason}" for number, reason in findings.no_int8.items()),
        *_refused(findings),
        *_next(findings, out),
    ]
    return "\n".join(lines)


def _cells(row: "Row") -> tuple[str, ...]:
    return (
        str(row.trial),
        row.precision,
        f"{row.point.accuracy:.3f}",
        f"{row.verified['value']:.3f}",
        f"{row.verified['low']:.3f} to {row.verified['high']:.3f}",
        f"{row.point.p50_ms:.2f}",
        f"{row.point.size_mb:.1f}",
    )


def _trials(rows: "Sequence[Row]") -> list[str]:
    known = {row.trial: row for row in rows}
    return [
        f"Trial {number}: {row.configuration.told()}: {row.step}" for number, row in sorted(known.items())
    ]


def _refused(findings: "Findings") -> list[str]:
    return [
        f"Not tried: {one.configuration.told()}: {one.facts['reason']}"
        for one in findings.trials
        if one.state in ("refused", "failed")
    ]


def _next(findings: "Findings", out: Path) -> list[str]:
    best = findings.best
    if best is None:
        return []
    bundle = out.with_name(out.name + "-bundle")
    flag = "" if _on_miss(best) == "fail" else f" --on-miss {_on_miss(best)}"
    return [f"Next: edgetl export {quote(str(best.run))} --out {quote(str(bundle))}{flag}"]


def _on_miss(row: "Row") -> "OnMiss":
    """A model chosen for its float accuracy is exported without int8 where int8 misses the limit."""
    return "fp16" if row.precision == "float" else "fail"


def _place(address: str | None, workers: int | None) -> "Place":
    """Return where the trials are done."""
    from edgetl.search.trial_loop import in_this_process

    if not check_ray(address, workers) or address is None:
        return in_this_process
    from edgetl.search.placing import on_ray

    return on_ray(address, workers)


def _asked(words: dict[str, str | None], recipe: Path | None, **given: Any) -> "Asked":
    """Turn flags into what is asked for; the words are lists with commas."""
    from edgetl.advise.backbones import candidate_names
    from edgetl.recipe import read_recipe
    from edgetl.search.asked import Asked
    from edgetl.search.space import NATIVE, Space

    lists: dict[str, Any] = {name: _split(text) for name, text in words.items()}
    space = Space(
        backbones=tuple(candidate_names(lists["backbones"])),
        sizes=tuple(None if one == NATIVE else _size(one) for one in lists["sizes"]),
        recipes=lists["recipes"],
    )
    settings = read_recipe(recipe) if recipe else {}
    return Asked(space=space, precisions=lists["precisions"], settings=settings, **given)


def _split(text: str | None) -> tuple[str, ...]:
    """Return the words between commas, each once."""
    return tuple(dict.fromkeys(by_commas(text or "")))


def _size(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"--sizes must be native or whole numbers, by commas, such as 128,160,native, got {text!r}."
        ) from None
