"""`edgetl validate`: the runtime's command, whose pictures workers on Ray may answer."""

from argparse import ArgumentParser, Namespace

from edgetl.cli.ray_flags import WORKERS_HELP, find_workers
from edgetl_runtime.cli import Outcome
from edgetl_runtime.cli import validate as alone
from edgetl_runtime.cli.arguments import where
from edgetl_runtime.cli.printing import note

SUMMARY = alone.SUMMARY

_REMEDY = "With --out, answers so far are kept: once a cluster runs, the same command goes on with --resume."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    alone.add_arguments(parser)
    ray = parser.add_argument_group("where pictures are answered")
    address = "have them answered on the Ray cluster at HOST:PORT; local makes one here"
    ray.add_argument("--ray", metavar="ADDRESS", help=address)
    ray.add_argument("--ray-workers", metavar="N", type=int, help=WORKERS_HELP[0].lower() + WORKERS_HELP[1:])


def run(given: Namespace) -> Outcome:
    """Validate here, or by workers."""
    workers = find_workers((given.ray, given.ray_workers), _REMEDY, note)
    if workers is None:
        return alone.run(given)
    from sys import maxsize

    from edgetl.answering import answered_by, with_threads

    with workers.hired(maxsize) as crew:
        place = with_threads(where(given), crew)
        return alone.validated(given, place, answered_by(crew, given.bundle, place))
