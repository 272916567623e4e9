"""`edgetl report`."""

from pathlib import Path
from typing import Annotated

import typer

from edgetl.cli.flags import Debug, Json, finish, show
from edgetl_runtime.commands import parse_points


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="Any of a run, a bundle and receipts, in any order; the first receipt is the baseline.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    data: Annotated[
        Path | None, typer.Option(help="The pictures, when they no longer lie where the run found them.")
    ] = None,
    margin: Annotated[
        str, typer.Option(help="Drop of accuracy that is allowed: 0.5pp is half a point.")
    ] = "0.5pp",
    cards: Annotated[int, typer.Option(help="How many changed pictures to show as cards.")] = 12,
    saliency: Annotated[
        int,
        typer.Option(help="For how many of them to show what mattered to the variants; needs the bundle."),
    ] = 6,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write one self-contained HTML file about a run, a bundle and receipts.

    It shows the verdict and does not exit with it: `edgetl check` does.
    """

    def command() -> int:
        from edgetl.report import Wanted, build_report, read_sources
        from edgetl_runtime.atomic import write_text
        from edgetl_runtime.cli.printing import note

        wanted = Wanted(parse_points(margin), data, cards, saliency)
        notes: list[str] = []
        text = build_report(read_sources(sources), wanted, notify=notes.append)
        write_text(out, text)
        size = len(text.encode())
        for line in [] if as_json else notes:
            note(line)
        said = {"report": str(out), "bytes": size, "notes": notes}
        show(said if as_json else f"{out}: {size / 1e6:.1f} MB, one file. Open it in any browser.\n")
        return 0

    finish(command, debug)
