"""The ledger: how often a test set was used to decide, in a file that only grows.

Each use of the same pictures makes it likelier that a bad candidate slips through by luck. A candidate whose
true drop is the margin passes with a chance of about alpha, so one or more of k different candidates pass
with a chance of at most k times alpha (the union bound, Bonferroni 1936). Candidates that were chosen by
earlier verdicts are not covered by it and do worse: a warning means that new test pictures are due. To hold a
total chance over k candidates, spend it: decide each at that chance divided by k.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edgetl_runtime.errors import InputError
from edgetl_runtime.strict_json import Fields, parse
from edgetl_runtime.verdict import Outcome

if TYPE_CHECKING:
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.verdict import Verdict

__all__ = ["WORN", "Decision", "Ledger", "Wear", "append", "decision", "named_ledger", "read_ledger"]

# One byte that all writers lock, wherever the file ends: beyond any ledger, since Windows lets nobody else
# read a locked byte, and within the 32 bits that its C library can lock.
_LOCKED_BYTE = 2**31 - 2
WORN = 0.5  # A test set is worn when one of its candidates may have passed by luck with this chance.


@dataclass(frozen=True, slots=True)
class Decision:
    """One verdict on a test set.

    time: ISO 8601, UTC. test_set: the SHA-256 of the sorted hashes of its `n` pictures.
    question: the SHA-256 of what was compared at which limits; the same question twice is one look.
    baseline, candidate: name, variant and device, for readers.
    """

    time: str
    test_set: str
    n: int
    question: str
    baseline: str
    candidate: str
    outcome: Outcome
    margin: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Wear:
    """How worn a test set is: different questions asked of it, and the bound that its `looks` put.

    false_pass: the chance is at most this that one or more of so many candidates at the margin passed.
    """

    test_set: str
    n: int
    decisions: int
    looks: int
    false_pass: float
    outcomes: tuple[tuple[Outcome, int], ...]

    @property
    def worn(self) -> bool:
        """Whether new test pictures are due."""
        return self.false_pass >= WORN

    def describe(self) -> str:
        """Say how worn it is, and what to do."""
        return (
            f"these {self.n:,} test pictures have decided on {self.looks:,} different candidates, and the "
            f"chance that luck passed one at the margin is up to {self.false_pass:.0%}, more if candidates "
            "were chosen by earlier verdicts. Collect new test pictures, or decide at a smaller --alpha."
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """The decisions in the order of the file. damaged: lines that cannot be read, such as a torn last one."""

    decisions: tuple[Decision, ...]
    damaged: int = 0

    def wear(self, test_set: str) -> Wear:
        """Return how worn a test set is; a damaged line counts as a look at every test set."""
        here = [one for one in self.decisions if one.test_set == test_set]
        questions = {one.question: one.alpha for one in here}
        alphas = [*questions.values(), *[max(questions.values(), default=0.0)] * self.damaged]
        counts = tuple((kind, sum(one.outcome == kind for one in here)) for kind in get_args(Outcome))
        looks = len(questions) + self.damaged
        n, false_pass = here[-1].n if here else 0, min(1.0, math.fsum(alphas))
        return Wear(test_set, n, len(here), looks, false_pass, counts)

    def test_sets(self) -> tuple[Wear, ...]:
        """Return the wear of every test set, the most worn first."""
        names = dict.fromkeys(one.test_set for one in self.decisions)
        return tuple(sorted(map(self.wear, names), key=lambda wear: -wear.false_pass))


def decision(baseline: Receipt, candidate: Receipt, verdict: Verdict, limits: object) -> Decision:
    """Return what the ledger keeps of a verdict. `limits` has a `repr` that says what was asked."""
    hashes = sorted(baseline.predictions.sha256)
    sides = [f"{one.bundle.name} {one.variant} on {one.device}" for one in (baseline, candidate)]
    ids = [f"{one.bundle.id} {one.variant} {one.device}" for one in (baseline, candidate)]
    asked = "\n".join([*ids, repr((verdict.margin, verdict.alpha)), repr(limits)])
    return Decision(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        test_set=hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
        n=len(hashes),
        question=hashlib.sha256(asked.encode()).hexdigest(),
        baseline=sides[0],
        candidate=sides[1],
        outcome=verdict.outcome,
        margin=verdict.margin,
        alpha=verdict.alpha,
    )


def named_ledger(given: Path | None) -> Path | None:
    """Return the ledger that was given, else the one that $EDGETL_LEDGER names, else None."""
    named = os.environ.get("EDGETL_LEDGER")
    return given or (Path(named) if named else None)


def append(path: Path, entry: Decision) -> Ledger:
    """Append a decision and return the whole ledger with it; other writers wait meanwhile.

    Raises:
        InputError: The file cannot be opened or written.
    """
    line = json.dumps(asdict(entry), ensure_ascii=True, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file, _locked(file.fileno()):
            file.seek(0)
            before = file.read()
            torn = before and not before.endswith(b"\n")  # a writer died there; its line must not spoil ours
            file.write((b"\n" if torn else b"") + line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"The ledger {path} cannot be written ({error.strerror}). Give --ledger a file that can be."
        ) from error
    return _parse([*before.decode("utf-8", "replace").splitlines(), line])


def read_ledger(path: Path) -> Ledger:
    """Read a ledger.

    Raises:
        InputError: The file is missing, or cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise InputError(
            f"The ledger {path} cannot be read ({error.strerror}). `check --ledger {path}` makes one."
        ) from error
    return _parse(text.splitlines())


def _parse(lines: Iterable[str]) -> Ledger:
    found, damaged = [], 0
    for line in filter(str.strip, lines):
        try:
            found.append(_decision(line))
        except InputError:  # counted, shown, and held against the test set
            damaged += 1
    return Ledger(tuple(found), damaged)


def _decision(line: str) -> Decision:
    keys = [field.name for field in fields(Decision)]
    f = Fields(parse(line, "line", InputError), "line", keys, InputError)
    texts = {name: f.text(name) for name in ("time", "test_set", "question", "baseline", "candidate")}
    alpha = f.number("alpha")
    if not 0 < alpha < 1:
        raise InputError(f"line.alpha must lie in (0, 1), got {alpha!r}.")
    return Decision(
        n=f.integer("n"),
        outcome=f.choice("outcome", get_args(Outcome)),
        margin=f.number("margin"),
        alpha=alpha,
        **texts,
    )


@contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Hold the file alone; the system lets go when the process ends, however it ends."""
    if sys.platform == "win32":
        import msvcrt

        _at_the_lock(handle, lambda: msvcrt.locking(handle, msvcrt.LK_LOCK, 1))
        try:
            yield
        finally:
            _at_the_lock(handle, lambda: msvcrt.locking(handle, msvcrt.LK_UNLCK, 1))
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def _at_the_lock(handle: int, act: Callable[[], None]) -> None:
    """Act at the byte that is locked, which Windows takes from the place in the file; then go back there."""
    place = os.lseek(handle, 0, os.SEEK_CUR)
    os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
    try:
        act()
    finally:
        os.lseek(handle, place, os.SEEK_SET)
