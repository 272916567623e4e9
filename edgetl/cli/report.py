"""`edgetl report`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetl.cli.flags import Debug, Json, finish, show
from edgetl.cli.gate_flags import with_gate_flags
from edgetl_runtime.asking import asked_by_flags, read_judged
from edgetl_runtime.errors import InputError

if TYPE_CHECKING:
    from edgetl_runtime.asking import Judged, Question


@partial(with_gate_flags, after=6)
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
    cards: Annotated[int, typer.Option(help="How many changed pictures to show as cards.")] = 12,
    saliency: Annotated[
        int,
        typer.Option(help="For how many of them to show what mattered to the variants; needs the bundle."),
    ] = 6,
    check: Annotated[
        Path | None,
        typer.Option(help="What `edgetl check --json` printed: has the limits, in place of the flags below."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
    **asked: Any,
) -> None:
    """Write one self-contained HTML file about a run, a bundle and receipts.

    It shows the verdict and does not exit with it: `edgetl check` does. It takes the same limits.
    """

    def command() -> int:
        from edgetl.report import Wanted, build_report, read_sources
        from edgetl_runtime.atomic import write_text
        from edgetl_runtime.cli.printing import note

        question, judged = _asked(check, asked)
        wanted = Wanted(question, judged, data, cards, saliency)
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


def _asked(check: Path | None, flags: Mapping[str, Any]) -> tuple["Question", "Judged | None"]:
    if check is None:
        return asked_by_flags(flags), None
    given = [f"--{key.replace('_', '-')}" for key, value in flags.items() if value not in (None, False)]
    if given:
        raise InputError(f"--check has the limits already. Leave out {', '.join(given)}, or --check.")
    judged = read_judged(check)
    return judged.question, judged
