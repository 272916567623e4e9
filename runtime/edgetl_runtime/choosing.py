"""`device="auto"`: the fastest of the variants that prove themselves on this machine, measured once.

Times every variant on every device side by side in turn, so that noise of the machine meets all alike: a run
each for latency, several at once for throughput. What cannot be opened is told with its reason, also when the
choice is recalled. A simulator is never among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from edgetl_runtime.engines import load_engine
from edgetl_runtime.errors import EngineError, ProofError
from edgetl_runtime.opening import AUTO, Skipped, Target, candidates, open_variant, refusal, skipped
from edgetl_runtime.simulated import NO_TIMES, is_simulated
from edgetl_runtime.streaming import default_workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.manifest import Variant
    from edgetl_runtime.remembered import Memory
    from edgetl_runtime.session import Session
    from edgetl_runtime.strict_json import JSON

ROUNDS = 15
SECONDS = 3.0
_WARM_UP = 3
# Runs of each thread in a round that measures throughput: enough that beginning and end do not count.
_IN_A_ROW = 3
# What is not faster by this share is not worth a variant that its maker liked less.
_CLEARLY = 0.95


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and the median milliseconds of a batch by "variant on device".

    times_ms: for throughput, of a batch while several are in flight: 1000 / times_ms batches a second.
    skipped: what could not be opened when that was measured. remembered: whether it was measured earlier.
    """

    variant: str
    device: str
    times_ms: dict[str, float]
    skipped: tuple[Skipped, ...] = ()
    remembered: bool = False


def open_fastest(bundle: Bundle, name: str, target: Target, memory: Memory) -> Session:
    """Open what was fastest here, among all variants where `name` is "auto", else on all devices of the one.

    Raises:
        EngineError: nothing can be opened here.
        ProofError: nothing can, and some of it disagreed with the reference cases.
    """
    found, errors = _places(bundle, name)
    places = [place for place in found if not is_simulated(place[2])]
    here = {f"{variant.name} on {device}": facts for variant, device, facts in places}
    facts: dict[str, JSON] = {**target.facts(), "asked": name, "places": dict(here)}
    known = _recalled(memory.read("choice", **facts))
    if known is not None and f"{known.variant} on {known.device}" in here:
        session = _open(bundle, known, target, memory)
        if session is not None:
            return session
    sessions = _open_all(bundle, places, target, memory, errors)
    if not sessions:
        raise refusal(errors or _simulated(found))
    opened = [session for _, session in sessions]
    measure = throughput_interleaved if target.hint == "throughput" else time_interleaved
    times = measure(opened, target.batch)
    session, choice = _fastest(sessions, times, skipped(errors))
    session.skipped, session.choice = choice.skipped, choice
    memory.write("choice", _to_json(choice), **facts)
    return session


def time_interleaved(sessions: Sequence[Session], batch: int) -> list[float]:
    """Return each session's median milliseconds for so many pictures, in turn, a few seconds at most."""

    def once(session: Session) -> Callable[[], float]:
        images = _black(session, batch)
        return lambda: _milliseconds(lambda: session.infer(images))

    return _medians([once(session) for session in sessions])


def throughput_interleaved(sessions: Sequence[Session], batch: int) -> list[float]:
    """Return the same with several batches in flight as `stream` has them: milliseconds per batch."""
    workers = default_workers()
    with ExitStack() as stack:

        def once(session: Session) -> Callable[[], float]:
            pool = stack.enter_context(ThreadPoolExecutor(workers, "edgetl-choose"))
            batches = [_black(session, batch)] * (_IN_A_ROW * workers)
            return lambda: _milliseconds(lambda: list(pool.map(session.infer, batches))) / len(batches)

        return _medians([once(session) for session in sessions])


def _black(session: Session, batch: int) -> NDArray[np.uint8]:
    size = session.preprocess.size
    return np.zeros((batch, size, size, 3), np.uint8)


def _milliseconds(run: Callable[[], object]) -> float:
    started = perf_counter()
    run()
    return 1000 * (perf_counter() - started)


def _medians(runs: Sequence[Callable[[], float]]) -> list[float]:
    """Measure each in turn for some rounds or seconds; the first rounds count only where no other came."""
    times: list[list[float]] = [[] for _ in runs]
    begun = perf_counter()
    for number in range(_WARM_UP + ROUNDS):
        for run, found in zip(runs, times, strict=True):
            if number == _WARM_UP:
                found.clear()
            found.append(run())
        if perf_counter() - begun > SECONDS:
            break
    return [median(found) for found in times]


def _places(
    bundle: Bundle, name: str
) -> tuple[list[tuple[Variant, str, str]], dict[str, EngineError | ProofError]]:
    """Return each variant with each device that it fits, and that device's model and driver.

    And by the variant's name the errors of engines that are not here.
    """
    places: list[tuple[Variant, str, str]] = []
    errors: dict[str, EngineError | ProofError] = {}
    for variant in candidates(bundle.manifest, name, "refuse", AUTO):
        try:
            devices = load_engine(variant.engine).devices()
        except EngineError as error:
            errors[variant.name] = error
        else:
            places += [(variant, device, facts) for device, facts in devices.items() if variant.fits(device)]
    return places, errors


def _simulated(places: Sequence[tuple[Variant, str, str]]) -> dict[str, EngineError | ProofError]:
    """Say of each variant that only a simulator could run why it was not."""
    return {
        f"{variant.name} on {device}": EngineError(f"{NO_TIMES}, so never chosen. Name device={device!r}.")
        for variant, device, facts in places
        if is_simulated(facts)
    }


def _open_all(
    bundle: Bundle,
    places: Sequence[tuple[Variant, str, str]],
    target: Target,
    memory: Memory,
    errors: dict[str, EngineError | ProofError],
) -> list[tuple[str, Session]]:
    """Open what can be; what cannot is put to the errors."""
    sessions = []
    for variant, device, _ in places:
        try:
            opened = open_variant(bundle, variant, target.on(device), memory)
        except (EngineError, ProofError) as error:
            errors[f"{variant.name} on {device}"] = error
        else:
            sessions.append((device, opened))
    return sessions


def _fastest(
    sessions: Sequence[tuple[str, Session]], times: Sequence[float], skipped: tuple[Skipped, ...]
) -> tuple[Session, Choice]:
    """Take the first that nothing later beats clearly, close the others."""
    best = 0
    for number, time_ms in enumerate(times):
        if time_ms < _CLEARLY * times[best]:
            best = number
    for number, (_, session) in enumerate(sessions):
        if number != best:
            session.close()
    device, session = sessions[best]
    named = {
        f"{one.variant.name} on {place}": round(time_ms, 3)
        for (place, one), time_ms in zip(sessions, times, strict=True)
    }
    return session, Choice(session.variant.name, device, named, skipped)


def _open(bundle: Bundle, known: Choice, target: Target, memory: Memory) -> Session | None:
    """Open what was chosen before; None where that fails now, so that all is measured again."""
    try:
        variant = bundle.manifest.variant(known.variant)
        session = open_variant(bundle, variant, target.on(known.device), memory)
    except (EngineError, ProofError):
        return None
    session.skipped, session.choice = known.skipped, known
    return session


def _to_json(choice: Choice) -> JSON:
    times: JSON = dict(choice.times_ms)
    passed: JSON = dict(choice.skipped)
    return {"variant": choice.variant, "device": choice.device, "times_ms": times, "skipped": passed}


def _recalled(value: JSON) -> Choice | None:
    match value:
        case {
            "variant": str() as variant,
            "device": str() as device,
            "times_ms": dict() as times,
            "skipped": dict() as passed,
        }:
            numbers = {name: float(one) for name, one in times.items() if isinstance(one, (int, float))}
            reasons = tuple(Skipped(name, str(reason)) for name, reason in passed.items())
            return Choice(variant, device, numbers, reasons, remembered=True)
    return None
