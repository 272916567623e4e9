"""A validation whose pictures are answered by workers elsewhere; all else is the runtime's own, and here.

Each worker opens the bundle and answers a piece of the pictures at a time; it holds no more than that piece.
Answers go into the journal as they come, and into the receipt in the order of the pictures.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from edgetl.cluster.standpoint import Standpoint
from edgetl.cluster.workers import Crew
from edgetl_runtime.commands import Where, opened
from edgetl_runtime.environment import (
    Environment,
    machine_differences,
    read_environment,
    version_differences,
)
from edgetl_runtime.errors import InputError
from edgetl_runtime.journal import Entry, Journal
from edgetl_runtime.measuring import Measured, answer_all, collect
from edgetl_runtime.opening import AUTO
from edgetl_runtime.pictures import Picture, Progress
from edgetl_runtime.session import Session
from edgetl_runtime.validation import Measuring

# Half a minute of work: opening the bundle is little beside it, and a killed worker costs no more.
_PIECE = 2048

Pieces = Iterator[tuple[int, tuple[Picture, ...]]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a worker must know besides the pictures.

    bundle_id: of what must lie at `bundle`. environment: of the machine that writes the receipt.
    """

    stand: Standpoint
    bundle: Path
    bundle_id: str
    where: Where
    environment: Environment


def with_threads(where: Where, crew: Crew) -> Where:
    """Let an engine have no more threads than a worker has cores, unless its threads are given."""
    return where if where.threads else replace(where, threads=crew.shares.cores)


def answered_by(crew: Crew, bundle: Path, where: Where) -> Measuring:
    """Return what `validate` asks for answers: these workers, who open the bundle as it is opened here."""

    def measuring(
        session: Session, pictures: Sequence[Picture], journal: Journal, progress: Progress
    ) -> Measured:
        stand = Standpoint.of(crew.shares.cores)
        here = _as_here(session, where)
        question = Question(stand, bundle, session.bundle.id, here, read_environment())
        unknown = [picture for picture in pictures if picture.sha256 not in journal.entries]
        told = _Told(journal, progress, len(pictures) - len(unknown), len(pictures))
        shares = crew.shares
        note = (
            f"answered by {shares.workers} workers with {shares.cores} of the cores each, who may have "
            "slowed each other: times are not those of a device that works alone"
        )
        with closing(_answers(crew, question, unknown, told)) as fresh:
            return collect(session, _with_known(pictures, journal, fresh), len(pictures), note)

    return measuring


def answer_piece(question: Question, piece: tuple[int, tuple[Picture, ...]]) -> list[Entry]:
    """Answer some pictures on a worker, in their order.

    Raises:
        InputError: this machine is of another kind than the one that writes the receipt, or has another
            bundle there.
    """
    with question.stand.taken():
        _refuse_other_machine(question.environment)
        with opened(question.bundle, question.where) as session:
            _refuse_other_bundle(question, session)
            return answer_all(session, piece[1])


@dataclass(slots=True)
class _Told:
    """Who hears of answers as they come. done: pictures so far."""

    journal: Journal
    progress: Progress
    done: int
    total: int

    def __call__(self, pictures: Sequence[Picture], entries: Sequence[Entry]) -> None:
        for picture, entry in zip(pictures, entries, strict=True):
            self.journal.add(picture.sha256, entry)
        self.done += len(pictures)
        self.progress(self.done, self.total)


def _answers(
    crew: Crew, question: Question, pictures: Sequence[Picture], told: _Told
) -> Generator[Entry, None, None]:
    """Yield the answers in the order of the pictures; those that come early wait."""
    early: dict[int, list[Entry]] = {}
    following = 0
    for (number, piece), entries in crew.each(answer_piece, question, _pieces(crew, pictures)):
        told(piece, entries)
        early[number] = entries
        while following in early:
            yield from early.pop(following)
            following += 1


def _pieces(crew: Crew, pictures: Sequence[Picture]) -> Pieces:
    size = max(1, min(_PIECE, ceil(len(pictures) / crew.shares.workers)))
    for number, begin in enumerate(range(0, len(pictures), size)):
        yield number, tuple(pictures[begin : begin + size])


def _with_known(
    pictures: Sequence[Picture], journal: Journal, fresh: Iterator[Entry]
) -> Iterator[tuple[Picture, Entry]]:
    for picture in pictures:
        known = journal.entries.pop(picture.sha256, None)
        yield picture, next(fresh) if known is None else known


def _as_here(session: Session, where: Where) -> Where:
    """Name what was chosen here, so that no worker chooses otherwise."""
    chosen = session.device if where.device == AUTO or where.fallback else where.device
    return replace(where, variant=session.variant.name, device=chosen, fallback=None)


def _refuse_other_bundle(question: Question, session: Session) -> None:
    if session.bundle.id != question.bundle_id:
        raise InputError(
            f"A worker finds another bundle at {str(question.bundle)!r}: {session.bundle.id[:12]}, not "
            f"{question.bundle_id[:12]}. Put the same one there on every machine, and leave it there."
        )


def _refuse_other_machine(wanted: Environment) -> None:
    here = read_environment()
    differences = machine_differences(wanted, here, ("the sender", "a worker"))
    differences += version_differences(wanted, here)
    if differences:
        raise InputError(
            f"A worker's machine is not like the sender's: {'; '.join(differences)}. One receipt is of one "
            "kind of machine: start the command on one like the workers', or take it out of the cluster."
        )
