"""What the commands of both command lines do: plain arguments in, results out; nothing is parsed or printed.

`edgetl-runtime` and `edgetl` call the same functions. Whatever costs time to import is imported where it is
used, so that a command line can print its help at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.atomic import refuse_place
from edgetl_runtime.errors import EngineError, InputError, PictureError, ProofError, ReceiptError

if TYPE_CHECKING:
    from edgetl_runtime.benching import Timed
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.engines import Hint
    from edgetl_runtime.examination import Examination
    from edgetl_runtime.fleet import Fleet
    from edgetl_runtime.ledger import Wear
    from edgetl_runtime.manifest import Manifest
    from edgetl_runtime.opening import Proving
    from edgetl_runtime.pictures import Progress
    from edgetl_runtime.planning import Plan
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.rules import Limits
    from edgetl_runtime.session import Prediction, Session
    from edgetl_runtime.slots import Pointer
    from edgetl_runtime.validation import Measuring
    from edgetl_runtime.verdict import Verdict

__all__ = [
    "Answer",
    "Answers",
    "Checked",
    "Where",
    "opened",
    "run_bench",
    "run_check",
    "run_doctor",
    "run_fleet",
    "run_info",
    "run_install",
    "run_merge",
    "run_plan",
    "run_predict",
    "run_rollback",
    "run_validate",
]

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Where:
    """Which variant runs on which device, and how; the fields mean what they do in `Session.open`.

    trust: names public keys as `PublicKey.read` takes them.
    """

    variant: str = "auto"
    device: str = "cpu"
    fallback: str | None = None
    threads: int | None = None
    hint: Hint = "latency"
    trust: tuple[str, ...] | None = None


HERE = Where()
ANYWHERE = Where(device="auto")


@dataclass(frozen=True, slots=True)
class Answer:
    """One picture: its prediction, or the error that prevented one."""

    picture: Path
    prediction: Prediction | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one variant on one device, in the order of the pictures."""

    variant: str
    device: str
    classes: tuple[str, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict, and how worn its test set is where a ledger is kept."""

    verdict: Verdict
    wear: Wear | None


def _silent(note: str) -> None:
    """Tell nobody."""


def run_predict(
    bundle: Path,
    pictures: Sequence[Path],
    *,
    where: Where = HERE,
    notify: Notify = _silent,
) -> Answers:
    """Predict pictures; one that cannot be used does not stop the others.

    Args:
        where: Which variant runs on which device.
        notify: Is told of each variant that was preferred and could not be used.
    """
    with opened(bundle, where, notify) as session:
        found = session.stream(pictures, errors="yield")
        answers = tuple(_answer(*pair) for pair in zip(pictures, found, strict=True))
        return Answers(session.variant.name, session.device, session.labels, answers)


def run_validate(
    bundle: Path,
    data: Path,
    *,
    where: Where = HERE,
    split: str = "test",
    limit: int | None = None,
    max_unreadable: float = 0.05,
    out: Path | None = None,
    resume: bool = False,
    measuring: Measuring | None = None,
    progress: Progress | None = None,
    notify: Notify = _silent,
) -> Receipt:
    """Measure a bundle on labelled pictures; see `run_predict` and `validate` for the other arguments.

    Args:
        out: Where the receipt is written. Until then the answers are kept in a journal beside it.
        resume: Go on with the journal of a run that was killed.
        measuring: None asks for the answers here, one after the other.
    """
    from edgetl_runtime.journal import journal_of
    from edgetl_runtime.measuring import measure
    from edgetl_runtime.validation import validate

    if resume and out is None:
        raise InputError("--resume needs --out: the answers so far lie beside the receipt.")
    if out is not None:
        _check_out(out)
    journal = None if out is None else journal_of(out)
    with opened(bundle, where, notify) as session:
        receipt = validate(
            session,
            data,
            split=split,
            limit=limit,
            max_unreadable=max_unreadable,
            progress=progress,
            journal=journal,
            resume=resume,
            measuring=measuring or measure,
        )
    if out is not None and journal is not None:
        receipt.write(out)
        journal.unlink(missing_ok=True)
    return receipt


def run_merge(receipts: Sequence[Path], *, out: Path | None = None) -> Receipt:
    """Add up receipts of different pictures, called by their paths; write the sum to `out`."""
    from edgetl_runtime.merging import merge
    from edgetl_runtime.receipt import Receipt

    if out is not None:
        _check_out(out)
    receipt = merge([Receipt.read(path) for path in receipts], [path.as_posix() for path in receipts])
    if out is not None:
        receipt.write(out)
    return receipt


def _check_out(out: Path) -> None:
    """Refuse a place for a receipt before the work: only a receipt may be replaced."""
    from edgetl_runtime.receipt import Receipt

    if not out.exists():
        refuse_place(out)
        return
    try:
        Receipt.read(out)
    except ReceiptError as error:
        raise InputError(f"{str(out)!r} is there and will not be replaced: {error}") from error


def run_check(
    baseline: Path | Receipt,
    candidate: Path | Receipt,
    *,
    margin: float = 0.005,
    alpha: float = 0.05,
    limits: Limits | None = None,
    ledger: Path | None = None,
) -> Checked:
    """Hold the candidate's receipt against the baseline's; see `gate` for the limits.

    Args:
        ledger: The decision is appended to this file.
    """
    from edgetl_runtime.gating import gate
    from edgetl_runtime.ledger import append, decision
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.rules import Limits

    limits = limits or Limits()
    before, after = (one if isinstance(one, Receipt) else Receipt.read(one) for one in (baseline, candidate))
    verdict = gate(before, after, margin=margin, alpha=alpha, limits=limits)
    if ledger is None:
        return Checked(verdict, None)
    entry = decision(before, after, verdict, limits)
    return Checked(verdict, append(ledger, entry).wear(entry.test_set))


def run_plan(
    receipt: Path | None = None,
    *,
    margin: float = 0.005,
    discordance: float | None = None,
    drop: float = 0.0,
    n: int | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
) -> Plan:
    """Plan a test set; see `plan` for the arguments.

    Args:
        receipt: Gives `n`, and as a last row the discordance of models as accurate that err independently.
    """
    from edgetl_runtime.planning import DISCORDANCES, plan
    from edgetl_runtime.receipt import Receipt

    shares = list(DISCORDANCES) if discordance is None else [discordance]
    if receipt is not None:
        right = Receipt.read(receipt).predictions.right
        n = len(right) if n is None else n
        independent = 2 * float(right.mean()) * (1 - float(right.mean()))
        shares += [independent] if discordance is None and independent > 0 else []
    return plan(shares, margin=margin, drop=drop, n=n, alpha=alpha, power=power)


def run_fleet(receipts: Sequence[Path], *, tolerance: float = 0.005, alpha: float = 0.05) -> Fleet:
    """Compare receipts of many devices, called by the names of their files."""
    from edgetl_runtime.fleet import compare_fleet
    from edgetl_runtime.receipt import Receipt

    stems = [path.stem for path in receipts]
    names = stems if len(set(stems)) == len(stems) else [path.as_posix() for path in receipts]
    return compare_fleet([Receipt.read(path) for path in receipts], names, tolerance=tolerance, alpha=alpha)


def run_bench(
    bundle: Path,
    picture: Path | None = None,
    *,
    where: Where = HERE,
    rounds: int = 50,
    notify: Notify = _silent,
) -> list[Timed]:
    """Time the variants of a bundle side by side on this machine; see `run_predict` for the other arguments.

    Args:
        picture: None makes one of 1920 x 1280 pixels.
        where: With the variant "auto" all variants that can be used are timed.
        rounds: How often each is run.
    """
    from edgetl_runtime.benching import bench, refuse_simulator, sample_picture
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.decode import read_file
    from edgetl_runtime.opening import AUTO, candidates, refusal
    from edgetl_runtime.signature import read_keys

    if rounds < 1:
        raise InputError(f"--rounds must be at least 1, got {rounds}.")
    data = sample_picture() if picture is None else read_file(picture)
    with ExitStack() as stack:
        found = stack.enter_context(Bundle.open(bundle, trust=read_keys(where.trust)))
        chosen = (
            []
            if where.variant != AUTO or where.device == AUTO
            else candidates(found.manifest, AUTO, "next", where.device)
        )
        names = [variant.name for variant in chosen] or [where.variant]
        sessions = []
        errors: dict[str, EngineError | ProofError] = {}
        for name in names:
            try:
                session = stack.enter_context(opened(found, replace(where, variant=name), notify))
                refuse_simulator(session)
                sessions.append(session)
            except (EngineError, ProofError) as error:
                errors[name] = error
                notify(f"variant {name!r} was skipped: {error}")
        if not sessions:
            raise refusal(errors)
        return bench(sessions, data, rounds)


def run_info(bundle: Path, *, trust: Sequence[str] | None = None) -> Manifest:
    """Return the manifest of a bundle, every file of which was verified; see `run_install` for `trust`."""
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.signature import read_keys

    with Bundle.open(bundle, trust=read_keys(trust)) as opened:
        return opened.manifest


def run_doctor(bundle: Path | None = None, *, where: Where = ANYWHERE) -> Examination:
    """Look at this machine, and at what a bundle would be opened as."""
    from edgetl_runtime.examination import examine

    return examine(bundle, where)


def run_install(
    bundle: Path,
    into: Path,
    *,
    trust: Sequence[str] | None,
    where: Where = HERE,
    notify: Notify = _silent,
) -> Pointer:
    """Install a bundle into a folder of slots; see `run_predict` for `where`, in which it proves itself.

    Args:
        trust: Public keys as `PublicKey.read` takes them; None asks for no signature.
    """
    from edgetl_runtime.installation import install
    from edgetl_runtime.signature import read_keys

    return install(bundle, into, trust=read_keys(trust), prove=partial(_prove, where=where, notify=notify))


def run_rollback(
    into: Path, *, trust: Sequence[str] | None, where: Where = HERE, notify: Notify = _silent
) -> Pointer:
    """Go back to the bundle before; see `run_install` for the arguments."""
    from edgetl_runtime.installation import rollback
    from edgetl_runtime.signature import read_keys

    return rollback(into, trust=read_keys(trust), prove=partial(_prove, where=where, notify=notify))


def _prove(bundle: Bundle, *, where: Where, notify: Notify) -> None:
    with opened(bundle, where, notify, prove="anew"):
        pass


@contextmanager
def opened(
    bundle: Path | Bundle, where: Where, notify: Notify = _silent, *, prove: Proving = True
) -> Iterator[Session]:
    """Open a bundle for the block; see `run_predict` for the arguments."""
    from edgetl_runtime.cautions import Caution
    from edgetl_runtime.session import Session
    from edgetl_runtime.signature import read_keys

    settings = asdict(where) | {"trust": read_keys(where.trust)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)  # They are told below.
        ready = Session.open(bundle, **settings, prove=prove, follow=False)
    with ready as session:
        for caution in session.cautions:
            notify(caution)
        for skipped in session.skipped:
            notify(f"variant {skipped.variant!r} was skipped: {skipped.reason}")
        yield session


def _answer(picture: Path, found: Prediction | PictureError) -> Answer:
    if isinstance(found, PictureError):
        return Answer(picture, None, str(found))
    return Answer(picture, found)
